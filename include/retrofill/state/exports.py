"""Report files: the items of a job or of a run, read in one snapshot, and what was written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from retrofill.model.report_files import (
    FAILED,
    PENDING,
    SUCCEEDED,
    ReportedItem,
    ReportRequest,
    WrittenReport,
)
from retrofill.state.connection import Connection, chunks, pairs, transaction, value
from retrofill.state.statements import load

_SQL = load("exports.sql")

_LISTS = {SUCCEEDED: "list_succeeded", FAILED: "list_failed", PENDING: "list_pending"}

CHUNK_ITEMS = 10_000
"""Items that are in memory at the same time."""

_PATIENCE = "15min"
"""How long the snapshot waits for a slow store to take what was read."""


class Snapshot:
    """The items of a job as they were at one moment.

    :param run_id: only those of a run; None: those of all
    """

    def __init__(
        self, conn: Connection, job_id: int, run_id: int | None, taken_at: datetime
    ) -> None:
        self.taken_at = taken_at
        self._conn = conn
        self._scope = {"job_id": job_id, "run_id": run_id}

    def items(self, status: str, asked: ReportRequest) -> Iterator[list[ReportedItem]]:
        """Read the items of a status, in chunks; the keys of what is settled rise."""
        with self._conn.cursor(name=f"retrofill_{status}") as cur:
            cur.itersize = CHUNK_ITEMS
            cur.execute(_SQL[_LISTS[status]], {**self._scope, "details": asked.details})
            yield from chunks(cur, ReportedItem, CHUNK_ITEMS)

    def versions(self) -> dict[int, str]:
        """Return, by run, the version of the function that the runs of the job call."""
        with self._conn.cursor() as cur:
            cur.execute(_SQL["list_versions"], self._scope)
            return pairs(cur)


@contextmanager
def snapshot(conn: Connection, job_id: int, run_id: int | None) -> Iterator[Snapshot]:
    """Read items of a job as they are now, however long that takes."""
    with transaction(conn) as cur:
        cur.execute(_SQL["begin_snapshot"], {"patience": _PATIENCE})
        cur.execute(_SQL["read_in_order"])
        cur.execute(_SQL["get_moment"])
        yield Snapshot(conn, job_id, run_id, value(cur))


def last_run(conn: Connection, job_id: int) -> int | None:
    """Return the last run of a job; None: it has none."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_last_run"], {"job_id": job_id})
        found: int | None = value(cur)
        return found


def note_files(conn: Connection, run_id: int, written: WrittenReport) -> None:
    """Note the report files that were written of a run."""
    with transaction(conn) as cur:
        cur.execute(
            _SQL["note_files"], {"run_id": run_id, "written": json.dumps(written.as_json())}
        )
