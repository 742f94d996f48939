"""What happened to a run: who paused, changed or stopped it, and what it did by itself."""

from datetime import datetime
from typing import NamedTuple

from retrofill.state.connection import Cursor, rows
from retrofill.state.statements import load

_SQL = load("events.sql")

ITSELF = ""
"""Who does what nobody has asked for: Retrofill itself."""

PAUSED = "paused"
RESUMED = "resumed"
STOPPED = "stopped"


class Event(NamedTuple):
    """One thing that happened to a run."""

    at: datetime
    who: str
    """Who did it; empty: Retrofill itself."""

    what: str
    """``paused``, ``resumed``, ``stopped``, the name of a limit that was changed, or what became of
    the plan, as :class:`~retrofill.model.approval.ApprovalStatus` has it."""

    value: str
    """The new value of a limit, empty where it has none any more; or the reason."""

    was: str
    """The value before."""


def record(
    cur: Cursor, run_id: int, who: str, what: str, value: str = "", *, was: str = ""
) -> None:
    """Add what happens to a run, in the transaction in which it happens."""
    happens = {"run_id": run_id, "who": who, "what": what, "value": value, "was": was}
    cur.execute(_SQL["record"], happens)


def list_events(cur: Cursor, run_id: int, most: int) -> list[Event]:
    """Return the last things that happened to a run, the newest first."""
    cur.execute(_SQL["list_events"], {"run_id": run_id, "events": most})
    return rows(cur, Event)
