"""The runs of a job, as the public view ``retrofill.v_run`` shows them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection


class RunCounts(NamedTuple):
    """A row of the view."""

    status: str
    partitions: int
    partitions_left: int
    listed: int
    known: int
    new: int
    left_out: dict[str, int]
    succeeded: int
    quarantined: int
    calls: int
    retries: int
    duplicates: int
    seconds: float | None
    """From opening to closing; None while the run is open."""

    @property
    def all_listed(self) -> bool:
        """Whether the whole source has been read."""
        return self.partitions > 0 and self.partitions_left == 0


_COLUMNS = [
    sql.SQL("extract(epoch FROM closed_at - opened_at)::float AS seconds")
    if name == "seconds"
    else sql.Identifier(name)
    for name in RunCounts._fields
]
_RUNS = sql.SQL("SELECT {} FROM retrofill.v_run WHERE job = %s ORDER BY run_id").format(
    sql.SQL(", ").join(_COLUMNS)
)


class RunView:
    """The view, read as often as needed."""

    def __init__(self, conn: connection) -> None:
        self._conn = conn

    def of_job(self, job: str) -> list[RunCounts]:
        """Return the runs of a job, the first one first."""
        with self._conn.cursor() as cursor:
            cursor.execute(_RUNS, (job,))
            return [RunCounts(*row) for row in cursor.fetchall()]


@contextmanager
def run_view(dsn: str) -> Iterator[RunView]:
    """Connect to the database of the state."""
    with closing(psycopg2.connect(dsn)) as conn:
        conn.autocommit = True
        yield RunView(conn)
