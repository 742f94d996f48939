"""The runs of a job, as the public view ``retrofill.v_run`` shows them."""

from typing import NamedTuple

from psycopg2.extensions import connection
from psycopg2.extras import RealDictCursor

_RUNS = """
SELECT state, partitions, partitions_left, listed, known, new, left_out, succeeded, quarantined,
    calls, retries, duplicates, extract(epoch FROM closed_at - opened_at)::float AS seconds
FROM retrofill.v_run WHERE job = %s ORDER BY run_id
"""


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


def runs_of(conn: connection, job: str) -> list[RunCounts]:
    """Return the runs of a job, the first one first."""
    with conn, conn.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(_RUNS, (job,))
        return [RunCounts(**row) for row in cursor.fetchall()]
