"""Forget: delete calls and results by age, and whole jobs."""

import difflib
import logging

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.state import maintenance
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


def forget_calls(conn: Connection, *, job: str | None, days: int) -> int:
    """Delete the calls of runs that were closed this many days ago; return the number of calls.

    :param job: the name of the only job; None: all jobs
    :raises ConfigError: there is no such job
    """
    deleted = sum(maintenance.delete_calls(conn, number, days=days) for number in _jobs(conn, job))
    log.info("forgot %d calls of runs closed more than %d days ago", deleted, days)
    return deleted


def forget_results(conn: Connection, *, job: str | None, days: int) -> int:
    """Delete results that are this many days old, and return their number: the items are new again.

    :param job: the name of the only job; None: all jobs
    :raises ConfigError: there is no such job
    """
    deleted = sum(
        maintenance.delete_results(conn, number, days=days) for number in _jobs(conn, job)
    )
    log.info("forgot %d results older than %d days", deleted, days)
    return deleted


def forget_job(conn: Connection, job: str) -> dict[str, int]:
    """Delete everything known about a job; return the number of deleted rows by place.

    If interrupted, another call continues.

    :raises ConfigError: there is no such job, or a run of it is open
    """
    (job_id,) = _jobs(conn, job)
    maintenance.mark_forgotten(conn, job_id)
    forgotten = {
        "in_process": maintenance.delete_in_process(conn, job_id),
        "results": maintenance.delete_results(conn, job_id, days=None),
        "quarantine": maintenance.delete_quarantined(conn, job_id),
        "calls": maintenance.delete_batches(conn, job_id),
        "runs": maintenance.delete_runs(conn, job_id),
    }
    maintenance.delete_job(conn, job_id)
    counts = ", ".join(f"{name} {count:,}" for name, count in forgotten.items())
    log.info("forgot the job %r; deleted in this try: %s", job, counts)
    return forgotten


def _jobs(conn: Connection, name: str | None) -> list[int]:
    known = maintenance.list_jobs(conn)
    if name is None:
        return list(known.values())
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see retrofill.v_run for all jobs"
        raise ConfigError(f"job: there is no job {quoted(name)}; {hint}")
    return [known[name]]
