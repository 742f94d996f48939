"""Maintenance: which runs may have been abandoned, and forgetting calls, results and whole jobs.

What is deleted is deleted some rows at a time, each time in a transaction of its own: no lock is
held for long, none is one that a run at work waits for, and what is broken off goes on later.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from retrofill.model.errors import ConfigError
from retrofill.state.connection import Connection, find, read_in_order, rows, transaction, values
from retrofill.state.locks import lock_job_wholly
from retrofill.state.redrive import Position
from retrofill.state.statements import load

_SQL = load("maintenance.sql")

ROWS = 10_000
"""Rows that are deleted, or looked at, in one transaction."""

BATCHES = 1_000
"""Batches that are deleted, or looked for, in one transaction."""


class OpenRun(NamedTuple):
    """A run that may be at work, and the DAG runs that work on it."""

    run_id: int
    job_id: int
    job: str
    dag_id: str
    dag_run_ids: list[str]


class _Page(NamedTuple):
    """What was deleted of a page, and its last item."""

    deleted: int
    item_key: str
    identifier: str


class _KnownJob(NamedTuple):
    job_id: int
    name: str


def list_open_runs(conn: Connection, job_id: int | None) -> list[OpenRun]:
    """Return the runs that are open, or of which a batch is.

    :param job_id: of this job only; None: of all jobs
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["list_open_runs"], {"job_id": job_id})
        return rows(cur, OpenRun)


def list_jobs(conn: Connection) -> dict[str, int]:
    """Return the number of each job by its name."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_jobs"])
        return {job.name: job.job_id for job in rows(cur, _KnownJob)}


def delete_calls(conn: Connection, job_id: int, *, days: int) -> int:
    """Delete the calls of runs of a job that were closed so many days ago; return how many."""
    return sum(
        _empty(conn, batch_id)
        for batch_ids in _batches(conn, job_id, days)
        for batch_id in batch_ids
    )


def delete_results(conn: Connection, job_id: int, *, days: int | None) -> int:
    """Delete what a job settled so many days ago, unless that run is open; return how much.

    :param days: None: all of it
    """
    return _delete_items(conn, "delete_results", {"job_id": job_id, "days": days})


def mark_forgotten(conn: Connection, job_id: int) -> None:
    """Have no run of a job be opened any more.

    :raises ConfigError: a run of it is open, or at work
    """
    key = {"job_id": job_id}
    with transaction(conn) as cur:
        lock_job_wholly(cur, job_id)
        cur.execute(_SQL["list_active_runs"], key)
        active = [str(run_id) for run_id in values(cur)]
        if active:
            raise ConfigError(
                f"job: run {', '.join(active)} of it is at work or was not closed; let it end or"
                " stop it, or let the maintenance DAG close it when Airflow has ended its DAG runs"
            )
        cur.execute(_SQL["mark_forgotten"], key)


def delete_in_process(conn: Connection, job_id: int) -> int:
    """Delete what a job has found and not processed; return how much."""
    return sum(_rows_of(conn, "delete_in_process", {"job_id": job_id, "rows": ROWS}))


def delete_quarantined(conn: Connection, job_id: int) -> int:
    """Delete what a job has in quarantine, and what that said before redrives; return how much."""
    sum(_rows_of(conn, "delete_redriven", {"job_id": job_id, "rows": ROWS}))
    return _delete_items(conn, "delete_quarantined", {"job_id": job_id})


def delete_batches(conn: Connection, job_id: int) -> int:
    """Delete the batches of a job with all their calls; return how many calls."""
    calls = 0
    for batch_ids in _batches(conn, job_id, None):
        calls += sum(_empty(conn, batch_id) for batch_id in batch_ids)
        with transaction(conn) as cur:
            cur.execute(_SQL["delete_batches"], {"batch_ids": batch_ids})
    return calls


def delete_runs(conn: Connection, job_id: int) -> int:
    """Delete the runs of a job, with their sets and partitions; return how many."""
    return sum(_rows_of(conn, "delete_run", {"job_id": job_id}))


def delete_job(conn: Connection, job_id: int) -> None:
    """Delete a job of which nothing else is left."""
    with transaction(conn) as cur:
        cur.execute(_SQL["delete_job"], {"job_id": job_id})


def _delete_items(conn: Connection, statement: str, key: dict[str, Any]) -> int:
    """Go over items in the order of their keys, and delete those that the statement means."""
    deleted, after = 0, Position.of(None)
    while True:
        with transaction(conn) as cur:
            read_in_order(cur)
            place = {"item_key": after.key, "identifier": after.identifier}
            cur.execute(_SQL[statement], {**key, **place, "rows": ROWS})
            page = find(cur, _Page)
        if page is None:
            return deleted
        deleted += page.deleted
        after = Position(page.item_key, page.identifier)


def _batches(conn: Connection, job_id: int, days: int | None) -> Iterator[list[int]]:
    """Yield the batches of a job, some at a time; with calls that old, if days are given."""
    after = 0
    while True:
        key = {"job_id": job_id, "days": days, "after": after, "batches": BATCHES}
        with transaction(conn) as cur:
            cur.execute(_SQL["list_batches"], key)
            batch_ids = values(cur)
        if not batch_ids:
            return
        yield batch_ids
        after = batch_ids[-1]


def _empty(conn: Connection, batch_id: int) -> int:
    """Delete the calls of a batch, except those that are under way; return how many."""
    return sum(_rows_of(conn, "delete_calls", {"batch_id": batch_id, "rows": ROWS}))


def _rows_of(conn: Connection, statement: str, key: dict[str, Any]) -> Iterator[int]:
    """Run a statement again and again until it has nothing more to do; yield what it did."""
    while True:
        with transaction(conn) as cur:
            read_in_order(cur)
            cur.execute(_SQL[statement], key)
            rows = cur.rowcount
        if not rows:
            return
        yield rows
