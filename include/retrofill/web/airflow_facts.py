"""What pages read from Airflow's own database: active DAG runs, and when DAGs run next."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from airflow.jobs.job import most_recent_job
from airflow.models import DagModel, DagRun, Pool
from airflow.models.dag import DagTag
from airflow.models.errors import ParseImportError
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import or_, select
from sqlalchemy.orm import load_only

from retrofill.model.status import Status, status_of
from retrofill.pipeline.setup import Dag
from retrofill.state.jobs import JobLine, RunLine

_ACTIVE = (DagRunState.QUEUED, DagRunState.RUNNING)


class DagFacts(NamedTuple):
    """What Airflow knows about a DAG."""

    is_paused: bool
    """Whether it is paused: Airflow starts none of its tasks."""

    is_gone: bool
    """Whether no DAG file defines it any more."""

    schedule: str
    """As Airflow shows it; empty: it has none."""

    next_run: datetime | None
    """When Airflow creates its next scheduled DAG run; None: unknown."""

    @property
    def is_off(self) -> bool:
        """Whether it has a schedule that has no effect."""
        return self.is_paused and bool(self.schedule)


NO_DAG = DagFacts(is_paused=False, is_gone=True, schedule="", next_run=None)


def facts_of(dag_ids: Collection[str]) -> dict[str, DagFacts]:
    """Return what Airflow knows about DAGs; those that it does not know are left out."""
    found = select(DagModel).where(DagModel.dag_id.in_(dag_ids))
    with create_session() as session:
        return {
            dag.dag_id: DagFacts(
                is_paused=bool(dag.is_paused),
                is_gone=bool(dag.is_stale),
                # Airflow's text for a DAG without a schedule is "None".
                schedule=(dag.timetable_summary or "").removesuffix("None"),
                next_run=None if dag.is_stale else dag.next_dagrun_create_after,
            )
            for dag in session.scalars(found)
        }


def active_dag_runs(dag_ids: Collection[str]) -> frozenset[tuple[str, str]]:
    """Return the queued and running DAG runs of DAGs, as pairs of their ids."""
    found = (
        select(DagRun)
        .options(load_only(DagRun.dag_id, DagRun.run_id))
        .where(DagRun.dag_id.in_(dag_ids), DagRun.state.in_(_ACTIVE))
    )
    with create_session() as session:
        return frozenset((run.dag_id, run.run_id) for run in session.scalars(found))


def is_any_active(dag_id: str, dag_run_ids: Collection[str]) -> bool:
    """Return whether one of these DAG runs is queued or running."""
    found = select(DagRun.id).where(
        DagRun.dag_id == dag_id, DagRun.run_id.in_(dag_run_ids), DagRun.state.in_(_ACTIVE)
    )
    with create_session() as session:
        return session.scalar(found.limit(1)) is not None


def status_in_airflow(
    status: str,
    line: JobLine | RunLine,
    dag: DagFacts,
    active: Collection[tuple[str | None, str | None]],
) -> Status:
    """Return how a run stands.

    :param active: the queued and running DAG runs, as pairs of their ids
    """
    return status_of(
        status,
        unapproved=line.approval == "waiting",
        stopping=line.stop_reason is not None,
        paused=bool(line.paused),
        active=bool(line.held) or (line.dag_id, line.dag_run_id) in active,
        dag_paused=dag.is_paused,
    )


def is_paused(dag_id: str) -> bool:
    """Return whether a DAG is paused: Airflow starts none of its tasks."""
    found = select(DagModel.is_paused).where(DagModel.dag_id == dag_id)
    with create_session() as session:
        return bool(session.scalar(found))


def our_dags() -> list[Dag]:
    """Return the DAGs of Retrofill that a DAG file defines, by id."""
    found = select(DagModel).where(
        DagModel.tags.any(DagTag.name == "retrofill"), DagModel.is_stale.is_(False)
    )
    with create_session() as session:
        return [
            Dag(dag.dag_id, frozenset(tag.name for tag in dag.tags), bool(dag.is_paused))
            for dag in session.scalars(found.order_by(DagModel.dag_id))
        ]


def broken_files() -> dict[str, str]:
    """Return the DAG files of Retrofill that Airflow cannot import, with the last error line."""
    found = select(ParseImportError).where(
        or_(
            ParseImportError.filename.contains("retrofill"),
            ParseImportError.stacktrace.contains("retrofill"),
        )
    )
    with create_session() as session:
        return {
            one.filename or "a file": (one.stacktrace or "").strip().rpartition("\n")[2]
            for one in session.scalars(found)
        }


def triggerer_lives() -> bool:
    """Return whether one of Airflow's triggerers sent a heartbeat recently."""
    with create_session() as session:
        newest = most_recent_job("TriggererJob", session=session)
        return newest is not None and newest.is_alive()


def default_pool_slots() -> int:
    """Return the number of slots of the default pool; -1: unlimited."""
    found = select(Pool.slots).where(Pool.pool == Pool.DEFAULT_POOL_NAME)
    with create_session() as session:
        slots = session.scalar(found)
    return -1 if slots is None else slots
