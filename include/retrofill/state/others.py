"""Items that a run has listed and that another run has in process."""

from typing import NamedTuple

from retrofill.state.connection import Connection, Cursor, rows, transaction
from retrofill.state.statements import load

_SQL = load("others.sql")


class Other(NamedTuple):
    """Another run that has items of this one in process."""

    run_id: int
    items: int
    free: bool
    """Whether some of them may be taken over: their run is closed, and no batch holds them."""


def look(conn: Connection, run_id: int) -> list[Other]:
    """Return the runs that have a run's listed items in process, and record them for its report."""
    with transaction(conn) as cur:
        return note_others(cur, run_id)


def note_others(cur: Cursor, run_id: int) -> list[Other]:
    """Do what :func:`look` does, within a transaction."""
    cur.execute(_SQL["count_others"], {"run_id": run_id})
    others = rows(cur, Other)
    cur.execute(_SQL["forget_awaited"], {"run_id": run_id})
    if others:
        holders, counts = [other.run_id for other in others], [other.items for other in others]
        cur.execute(_SQL["note_awaited"], {"run_id": run_id, "holders": holders, "counts": counts})
    return others
