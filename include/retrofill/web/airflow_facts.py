"""What pages ask Airflow's own database: which DAG runs live, and which DAGs run next and when."""

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

from retrofill.pipeline.setup import Dag

_NOT_OVER = (DagRunState.QUEUED, DagRunState.RUNNING)


class DagFacts(NamedTuple):
    """What Airflow knows of a DAG."""

    is_paused: bool
    """Whether it is switched off: Airflow begins no task of it then."""

    is_gone: bool
    """Whether no file has it any more."""

    schedule: str
    """For people; empty: it has none."""

    next_run: datetime | None
    """When Airflow makes its next DAG run by itself; None: nobody knows."""

    @property
    def is_off(self) -> bool:
        """Whether it has a schedule that has no effect."""
        return self.is_paused and bool(self.schedule)


NO_DAG = DagFacts(is_paused=False, is_gone=True, schedule="", next_run=None)


def facts_of(dag_ids: Collection[str]) -> dict[str, DagFacts]:
    """Return what Airflow knows of some DAGs; of one that it does not know, nothing."""
    found = select(DagModel).where(DagModel.dag_id.in_(dag_ids))
    with create_session() as session:
        return {dag.dag_id: _facts(dag) for dag in session.scalars(found)}


def _facts(dag: DagModel) -> DagFacts:
    # Airflow says "None" where a DAG runs only when it is triggered.
    schedule = dag.timetable_summary if dag.timetable_summary != "None" else ""
    return DagFacts(
        is_paused=bool(dag.is_paused),
        is_gone=bool(dag.is_stale),
        schedule=schedule or "",
        next_run=None if dag.is_stale else dag.next_dagrun_create_after,
    )


def living(dag_ids: Collection[str]) -> frozenset[tuple[str, str]]:
    """Return the DAG runs of some DAGs that are queued or running, by DAG and name."""
    found = (
        select(DagRun)
        .options(load_only(DagRun.dag_id, DagRun.run_id))
        .where(DagRun.dag_id.in_(dag_ids), DagRun.state.in_(_NOT_OVER))
    )
    with create_session() as session:
        return frozenset((run.dag_id, run.run_id) for run in session.scalars(found))


def lives(dag_id: str, dag_run_ids: Collection[str]) -> bool:
    """Return whether Airflow has one of these DAG runs queued or running."""
    found = select(DagRun.id).where(
        DagRun.dag_id == dag_id, DagRun.run_id.in_(dag_run_ids), DagRun.state.in_(_NOT_OVER)
    )
    with create_session() as session:
        return session.scalar(found.limit(1)) is not None


def is_paused(dag_id: str) -> bool:
    """Return whether a DAG is switched off: Airflow begins no task of it then."""
    found = select(DagModel.is_paused).where(DagModel.dag_id == dag_id)
    with create_session() as session:
        return bool(session.scalar(found))


def our_dags() -> list[Dag]:
    """Return the DAGs of ours that some file has, by their names."""
    found = select(DagModel).where(
        DagModel.tags.any(DagTag.name == "retrofill"), DagModel.is_stale.is_(False)
    )
    with create_session() as session:
        return [
            Dag(dag.dag_id, frozenset(tag.name for tag in dag.tags), bool(dag.is_paused))
            for dag in session.scalars(found.order_by(DagModel.dag_id))
        ]


def broken_files() -> dict[str, str]:
    """Return the DAG files of ours that Airflow cannot import, each with how its error ends."""
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
    """Return whether a triggerer of Airflow's has shown life lately."""
    with create_session() as session:
        newest = most_recent_job("TriggererJob", session=session)
        return newest is not None and newest.is_alive()


def default_pool_slots() -> int:
    """Return how many tasks may run in the pool of all that name none; -1: any number."""
    found = select(Pool.slots).where(Pool.pool == Pool.DEFAULT_POOL_NAME)
    with create_session() as session:
        slots = session.scalar(found)
    return -1 if slots is None else slots
