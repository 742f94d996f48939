"""Report files: the items of a job or run in one snapshot, and the files that were written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from retrofill.model.report_files import (
    FAILED,
    PENDING,
    SUCCEEDED,
    ReportedItem,
    ReportRequest,
    WrittenReport,
)
from retrofill.state.connection import Connection, chunks, execute, executed, pairs, value
from retrofill.state.statements import load

_SQL = load("exports.sql")

_LISTS = {SUCCEEDED: "list_succeeded", FAILED: "list_failed", PENDING: "list_pending"}

CHUNK_ITEMS = 10_000
"""Items that are in memory at the same time."""

_PATIENCE = "15min"
"""How long the snapshot waits for a slow store to accept the items."""


class Snapshot(NamedTuple):
    """The items of a job in one snapshot."""

    conn: Connection
    job_id: int
    run_id: int | None
    """Only items of this run; None: of all runs."""

    taken_at: datetime

    def items(self, status: str, asked: ReportRequest) -> Iterator[list[ReportedItem]]:
        """Read the items with a status, in chunks; settled ones in the order of their keys."""
        with self.conn.cursor(name=f"retrofill_{status}") as cur:
            cur.itersize = CHUNK_ITEMS
            cur.execute(_SQL[_LISTS[status]], {**self._asdict(), "details": asked.details})
            yield from chunks(cur, ReportedItem, CHUNK_ITEMS)

    def versions(self) -> dict[int, str]:
        """Return the function versions of the job's runs, by run."""
        with self.conn.cursor() as cur:
            cur.execute(_SQL["list_versions"], self._asdict())
            return pairs(cur)


@contextmanager
def snapshot(conn: Connection, job_id: int, run_id: int | None) -> Iterator[Snapshot]:
    """Read items of a job in one snapshot, without a time limit."""
    with executed(conn, _SQL["begin_snapshot"], patience=_PATIENCE) as cur:
        cur.execute(_SQL["read_in_order"])
        cur.execute(_SQL["get_time"])
        yield Snapshot(conn, job_id, run_id, value(cur))


def last_run(conn: Connection, job_id: int) -> int | None:
    """Return the number of the last run of a job; None: it has none."""
    with executed(conn, _SQL["get_last_run"], job_id=job_id) as cur:
        found: int | None = value(cur)
        return found


def note_files(conn: Connection, run_id: int, written: WrittenReport) -> None:
    """Record the report files of a run."""
    execute(conn, _SQL["note_files"], run_id=run_id, written=json.dumps(written.as_json()))
