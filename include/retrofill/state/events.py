"""Events of a run: who paused, changed or stopped it, and what it did on its own."""

from datetime import datetime
from typing import NamedTuple

from retrofill.state.connection import Cursor, rows
from retrofill.state.statements import load

_SQL = load("events.sql")

ITSELF = ""
"""The ``who`` of events that no user caused."""

PAUSED = "paused"
RESUMED = "resumed"
STOPPED = "stopped"


class Event(NamedTuple):
    """One event of a run."""

    at: datetime
    who: str
    """The user who caused it; empty: Retrofill itself."""

    what: str
    """``paused``, ``resumed``, ``stopped``, the name of a changed limit, or a value of
    :class:`~retrofill.model.approval.ApprovalStatus`."""

    value: str
    """The new value of a limit, empty if it has none now; or the reason."""

    was: str


def record(
    cur: Cursor, run_id: int, who: str, what: str, value: str = "", *, was: str = ""
) -> None:
    """Add an event, in the transaction in which it happens."""
    event = {"run_id": run_id, "who": who, "what": what, "value": value, "was": was}
    cur.execute(_SQL["record"], event)


def list_events(cur: Cursor, run_id: int, most: int) -> list[Event]:
    """Return the last events of a run, the newest first."""
    cur.execute(_SQL["list_events"], {"run_id": run_id, "events": most})
    return rows(cur, Event)
