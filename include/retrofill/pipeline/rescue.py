"""Rescue: close abandoned runs, which frees their items."""

import logging
from collections.abc import Collection, Sequence
from typing import Protocol

from retrofill.pipeline.approve import conclude_approval
from retrofill.state import batches, maintenance
from retrofill.state.connection import Connection
from retrofill.state.maintenance import OpenRun

log = logging.getLogger(__name__)


class Airflow(Protocol):
    """What use cases need of Airflow."""

    @property
    def most_mapped(self) -> int:
        """The most instances of a mapped task that Airflow accepts."""

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether one of these DAG runs of a DAG is queued or running."""

    def tell_abandoned(self, conn: Connection, run: OpenRun) -> None:
        """Send the notification of an abandoned run that this process has closed."""

    def tell_if_paused(self, conn: Connection, run: OpenRun) -> None:
        """Report, once, that a run waits because its DAG is paused."""


def rescue(
    conn: Connection,
    airflow: Airflow,
    *,
    job_id: int | None = None,
    but: int | None = None,
    runs: Collection[int] | None = None,
) -> list[OpenRun]:
    """Close every abandoned run, report it, and free its items for the job's next run.

    This also frees the items of a closed run that was cleared without effect.

    A run is abandoned if none of its DAG runs is queued or running and no task holds a lease: a
    task that Airflow has given up may still be calling.

    :param job_id: check only runs of this job; None: of all jobs
    :param but: a run not to check
    :param runs: the only runs to check; None: all
    :returns: the closed runs
    """
    closed = []
    for run in maintenance.list_open_runs(conn, job_id):
        if run.run_id == but or (runs is not None and run.run_id not in runs):
            continue
        if airflow.lives(run.dag_id, run.dag_run_ids):
            log.debug("run %d of job %s is open, and so is its DAG run", run.run_id, run.job)
            airflow.tell_if_paused(conn, run)
            continue
        if not batches.is_held(conn, run.run_id):
            conclude_approval(conn, run.run_id)
        state = batches.rescue_run(conn, run.run_id, run.job_id)
        if state is None:
            log.debug("run %d of job %s has a task that calls, or is closed", run.run_id, run.job)
            continue
        log.warning(
            "run %d of job %s was abandoned, and is now closed as %s", run.run_id, run.job, state
        )
        airflow.tell_abandoned(conn, run)
        closed.append(run)
    return closed
