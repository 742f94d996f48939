"""Overlapping runs: a run that waits opens when all earlier runs of its job are closed."""

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

If it checked before the scheduler has heard from the executor that its last check is over, Airflow
would take that check for killed, and spend one of the task's tries on it.
"""


class Places(Airflow, Protocol):
    """Airflow, with its slots for the DAG runs of a DAG."""

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether the next of these waits for the slot of the DAG run that asks."""


class Turn(NamedTuple):
    """Whether a DAG run may open its run."""

    look_again_s: float | None
    """It waits, and checks again after this many seconds; None: it is its turn."""

    but: Sequence[int] = ()
    """Open runs to ignore."""


def await_turn(conn: Connection, job_id: int, dag_run: DagRun, airflow: Places) -> Turn:
    """Record what a DAG run waits for, and return whether it is its turn.

    The one that began to wait first comes first. Runs that Airflow has ended are closed here, and
    DAG runs that it has ended do not wait any more: nothing that is gone is waited for. Nor is
    anything that can only continue once this DAG run has ended, because the DAG has no slot for
    more: a run whose next DAG run has no slot, or a DAG run that was cleared while it waited.
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
        log.info("run %d needs the slot of this DAG run to continue: it is not waited for", run_id)
    if not ahead and not behind:
        return Turn(None, kept_out)
    log.info("waiting, as overlap requires, for %s", _named(ahead, behind))
    return Turn(min(max(waited_s / 4, SOONEST_S), LATEST_S))


def forget_gone(conn: Connection, airflow: Airflow) -> None:
    """Remove the DAG runs that were waiting when they ended."""
    for dag_run in waiting.list_waiting(conn):
        _still_waits(conn, dag_run, airflow)


def _still_waits(conn: Connection, dag_run: DagRun, airflow: Airflow) -> bool:
    if airflow.lives(dag_run.dag_id, [dag_run.dag_run_id]):
        return True
    waiting.wait_no_more(conn, dag_run)
    return False


def _named(runs: Sequence[int], behind: Sequence[DagRun]) -> str:
    named = [f"run {run_id} of the job to be closed" for run_id in runs]
    named += [f"the turn of {dag_run.dag_run_id}" for dag_run in behind]
    return ", and ".join(named)
