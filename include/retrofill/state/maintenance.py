"""Maintenance: list runs that may be abandoned, and forget calls, results and whole jobs.

Rows are deleted in small transactions: locks are short, and active runs never wait for them. An
interrupted deletion resumes later.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from retrofill.model.errors import ConfigError
from retrofill.state.connection import (
    Connection,
    execute,
    executed,
    find,
    pairs,
    read_in_order,
    rows,
    transaction,
    values,
)
from retrofill.state.locks import lock_job_wholly
from retrofill.state.redrive import Position
from retrofill.state.statements import load

_SQL = load("maintenance.sql")

ROWS = 10_000
"""Rows that are deleted or read in one transaction."""

BATCHES = 1_000
"""Batches that are deleted or read in one transaction."""


class OpenRun(NamedTuple):
    """A run that may be active, and its DAG runs."""

    run_id: int
    job_id: int
    job: str
    dag_id: str
    dag_run_ids: list[str]


class _Page(NamedTuple):
    """A page of items: how many were deleted, and the last item."""

    deleted: int
    item_key: str
    identifier: str


def list_open_runs(conn: Connection, job_id: int | None) -> list[OpenRun]:
    """Return the runs that are open or have an open batch.

    :param job_id: only runs of this job; None: of all jobs
    """
    with executed(conn, _SQL["list_open_runs"], job_id=job_id) as cur:
        return rows(cur, OpenRun)


def list_jobs(conn: Connection) -> dict[str, int]:
    """Return the numbers of all jobs by name."""
    with executed(conn, _SQL["list_jobs"]) as cur:
        return pairs(cur)


def delete_calls(conn: Connection, job_id: int, *, days: int) -> int:
    """Delete the calls of a job's runs that were closed some days ago; return how many."""
    return sum(
        _empty(conn, batch_id)
        for batch_ids in _batches(conn, job_id, days)
        for batch_id in batch_ids
    )


def delete_results(conn: Connection, job_id: int, *, days: int | None) -> int:
    """Delete a job's results of closed runs that were settled some days ago; return how many.

    :param days: None: all results, also of open runs
    """
    return _delete_items(conn, "delete_results", {"job_id": job_id, "days": days})


def mark_forgotten(conn: Connection, job_id: int) -> None:
    """Mark a job as being forgotten, so that no run of it can be opened.

    :raises ConfigError: a run of it is open or active
    """
    key = {"job_id": job_id}
    with transaction(conn) as cur:
        lock_job_wholly(cur, job_id)
        cur.execute(_SQL["list_active_runs"], key)
        active = [str(run_id) for run_id in values(cur)]
        if active:
            raise ConfigError(
                f"job: run {', '.join(active)} is active or not closed; let it end or stop it,"
                " or let the maintenance DAG close it when Airflow has ended its DAG runs"
            )
        cur.execute(_SQL["mark_forgotten"], key)


def delete_in_process(conn: Connection, job_id: int) -> int:
    """Delete a job's items in process; return how many."""
    return sum(_rows_of(conn, "delete_in_process", {"job_id": job_id, "rows": ROWS}))


def delete_quarantined(conn: Connection, job_id: int) -> int:
    """Delete a job's quarantined items and its redrive history; return the number of items."""
    sum(_rows_of(conn, "delete_redriven", {"job_id": job_id, "rows": ROWS}))
    return _delete_items(conn, "delete_quarantined", {"job_id": job_id})


def delete_batches(conn: Connection, job_id: int) -> int:
    """Delete the batches of a job and their calls; return how many calls."""
    calls = 0
    for batch_ids in _batches(conn, job_id, None):
        calls += sum(_empty(conn, batch_id) for batch_id in batch_ids)
        execute(conn, _SQL["delete_batches"], batch_ids=batch_ids)
    return calls


def delete_runs(conn: Connection, job_id: int) -> int:
    """Delete the runs of a job with their sets and partitions; return how many."""
    return sum(_rows_of(conn, "delete_run", {"job_id": job_id}))


def delete_job(conn: Connection, job_id: int) -> None:
    """Delete the row of a job whose other rows are deleted."""
    execute(conn, _SQL["delete_job"], job_id=job_id)


def _delete_items(conn: Connection, statement: str, key: dict[str, Any]) -> int:
    """Delete items in the order of their keys, each page from the end of the last one.

    From the beginning, every page would read the dead rows of all earlier ones again.
    """
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
    """Yield the batches of a job, some at a time; with days, only those with calls to delete."""
    after = 0
    while True:
        key = {"job_id": job_id, "days": days, "after": after, "batches": BATCHES}
        with executed(conn, _SQL["list_batches"], **key) as cur:
            batch_ids = values(cur)
        if not batch_ids:
            return
        yield batch_ids
        after = batch_ids[-1]


def _empty(conn: Connection, batch_id: int) -> int:
    """Delete the calls of a batch, except those in flight; return how many."""
    return sum(_rows_of(conn, "delete_calls", {"batch_id": batch_id, "rows": ROWS}))


def _rows_of(conn: Connection, statement: str, key: dict[str, Any]) -> Iterator[int]:
    """Run a statement until it changes no more rows; yield how many it changed each time."""
    while True:
        with transaction(conn) as cur:
            read_in_order(cur)
            cur.execute(_SQL[statement], key)
            changed = cur.rowcount
        if not changed:
            return
        yield changed
