"""Overlapping runs: a run that waits opens once all earlier runs of its job are closed."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from retrofill.model.runs import DagRun
from retrofill.pipeline.rescue import Airflow, rescue
from retrofill.state import maintenance, waiting
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

SOONEST_S = 20.0
LATEST_S = 60.0
"""The minimum and maximum seconds until a waiting DAG run checks again.

If it checked before the executor has reported the end of its last check to the scheduler, Airflow
would count that check as killed, and use up one of the task's tries.
"""


class Places(Airflow, Protocol):
    """Airflow, with its slots for the DAG runs of a DAG."""

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether the next of these DAG runs waits for the slot of this one."""


class Turn(NamedTuple):
    """Whether a DAG run may open its run."""

    look_again_s: float | None
    """Seconds until the next check; None: the DAG run may open its run now."""

    but: Sequence[int] = ()
    """Open runs to ignore."""


def await_turn(conn: Connection, job_id: int, dag_run: DagRun, airflow: Places) -> Turn:
    """Return whether it is the turn of a DAG run, and record what it waits for.

    The DAG run that has waited longest comes first. This closes runs that Airflow has ended, and
    removes waiting DAG runs that it has ended. It ignores a run or DAG run that needs the slot of
    this one, as that can only continue after this DAG run has ended: the next DAG run of an open
    run, or a DAG run that was cleared while it waited.
    """
    rescue(conn, airflow, job_id=job_id)
    open_runs, before = waiting.wait(conn, job_id, dag_run)
    kept_out = [
        run.run_id
        for run in maintenance.list_open_runs(conn, job_id)
        if run.run_id in open_runs and airflow.is_kept_out(run.dag_id, run.dag_run_ids)
    ]
    ahead = [run_id for run_id in open_runs if run_id not in kept_out]
    behind = [
        other
        for other in before
        if _still_waits(conn, other, airflow)
        and not airflow.is_kept_out(other.dag_id, [other.dag_run_id])
    ]
    waited_s = waiting.note_ahead(conn, dag_run, ahead, behind)
    for run_id in kept_out:
        log.info("not waiting for run %d, which needs the slot of this DAG run", run_id)
    if not ahead and not behind:
        return Turn(None, kept_out)
    named = [f"run {run_id} of the job to be closed" for run_id in ahead]
    named += [f"the turn of {other.dag_run_id}" for other in behind]
    log.info("waiting, as overlap requires, for %s", ", and ".join(named))
    return Turn(min(max(waited_s / 4, SOONEST_S), LATEST_S))


def forget_gone(conn: Connection, airflow: Airflow) -> None:
    """Remove waiting DAG runs that Airflow has ended."""
    for dag_run in waiting.list_waiting(conn):
        _still_waits(conn, dag_run, airflow)


def _still_waits(conn: Connection, dag_run: DagRun, airflow: Airflow) -> bool:
    if airflow.lives(dag_run.dag_id, [dag_run.dag_run_id]):
        return True
    waiting.wait_no_more(conn, dag_run)
    return False
