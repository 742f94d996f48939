"""Items that a run has listed and another run has in process: whose they are, and how many."""

from typing import NamedTuple

from retrofill.state.connection import Connection, Cursor, rows, transaction
from retrofill.state.statements import load

_SQL = load("others.sql")


class Other(NamedTuple):
    """Another run that has items in process which this one has listed."""

    run_id: int
    items: int
    free: bool
    """Whether some of them belong to nobody: their run is closed, and no batch holds them."""


def look(conn: Connection, run_id: int) -> list[Other]:
    """Return who has in process what a run has listed, and write it down for its report."""
    with transaction(conn) as cur:
        return note_others(cur, run_id)


def note_others(cur: Cursor, run_id: int) -> list[Other]:
    """Do the same within a transaction."""
    key = {"run_id": run_id}
    cur.execute(_SQL["count_others"], key)
    others = rows(cur, Other)
    cur.execute(_SQL["forget_awaited"], key)
    if others:
        held = {
            "holders": [other.run_id for other in others],
            "counts": [other.items for other in others],
        }
        cur.execute(_SQL["note_awaited"], {**key, **held})
    return others
