"""Upkeep: close runs that were abandoned, and forget what is older than it has to be kept."""

import difflib
import logging
from collections.abc import Callable, Sequence
from typing import TypedDict

from include.retrofill.model.errors import ConfigError
from include.retrofill.model.quoting import quoted
from include.retrofill.state import batches, upkeep
from include.retrofill.state.connection import Connection

log = logging.getLogger(__name__)


class Forgotten(TypedDict):
    """What was deleted of a job."""

    in_process: int
    results: int
    quarantine: int
    calls: int
    runs: int


def rescue(conn: Connection, is_at_work: Callable[[str, Sequence[str]], bool]) -> list[int]:
    """Close every run that was abandoned, and free its items for the job's next run.

    A run is abandoned when Airflow has ended all its DAG runs, and none of its batches was leased,
    planned or settled for 6 hours: neither a paused run, nor one whose tasks wait for a slot or
    for their DAG to be switched on, nor a task that Airflow has given up and that goes on.

    :param is_at_work: whether one of these DAG runs of a DAG is queued or running
    :returns: the runs that were closed
    """
    closed = []
    for run in upkeep.list_open_runs(conn, silent_s=batches.ABANDONED_AFTER_S):
        # The next set's DAG run may wait, and has not opened its set yet.
        following = run.ref.next_dag_run_id(run.dag_run_ids[-1])
        if is_at_work(run.dag_id, [*run.dag_run_ids, following]):
            log.info("run %d of job %s is open, and so is its DAG run", run.run_id, run.job)
            continue
        state = batches.rescue_run(conn, run.run_id, run.job_id, silent_s=batches.ABANDONED_AFTER_S)
        if state is None:
            log.info("run %d of job %s has shown life within 6 hours", run.run_id, run.job)
            continue
        log.warning(
            "run %d of job %s was abandoned; it is closed as %s", run.run_id, run.job, state
        )
        closed.append(run.run_id)
    return closed


def forget_calls(conn: Connection, *, job: str | None, days: int) -> int:
    """Delete the calls of runs that were closed so many days ago; return how many.

    :param job: the name of the one job meant; None: all jobs
    :raises ConfigError: there is no such job
    """
    deleted = sum(upkeep.delete_calls(conn, number, days=days) for number in _jobs(conn, job))
    log.info("forgot %d calls of runs closed more than %d days ago", deleted, days)
    return deleted


def forget_results(conn: Connection, *, job: str | None, days: int) -> int:
    """Delete the results that are so many days old: their items are new again; return how many.

    :param job: the name of the one job meant; None: all jobs
    :raises ConfigError: there is no such job
    """
    deleted = sum(upkeep.delete_results(conn, number, days=days) for number in _jobs(conn, job))
    log.info("forgot %d results older than %d days", deleted, days)
    return deleted


def forget_job(conn: Connection, job: str) -> Forgotten:
    """Delete all that is known of a job; broken off, it goes on when it is asked for again.

    :raises ConfigError: there is no such job, or a run of it is open
    """
    (job_id,) = _jobs(conn, job)
    upkeep.mark_forgotten(conn, job_id)
    forgotten = Forgotten(
        in_process=upkeep.delete_in_process(conn, job_id),
        results=upkeep.delete_results(conn, job_id, days=None),
        quarantine=upkeep.delete_quarantined(conn, job_id),
        calls=upkeep.delete_batches(conn, job_id),
        runs=upkeep.delete_runs(conn, job_id),
    )
    upkeep.delete_job(conn, job_id)
    said = ", ".join(f"{name} {count:,}" for name, count in forgotten.items())
    log.info("forgot the job %r; deleted in this try: %s", job, said)
    return forgotten


def _jobs(conn: Connection, name: str | None) -> list[int]:
    """Return the numbers of the jobs that are meant."""
    known = upkeep.list_jobs(conn)
    if name is None:
        return list(known.values())
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "retrofill.v_run names those there are"
        raise ConfigError(f"job: there is no job {quoted(name)}; {hint}")
    return [known[name]]
