"""Change and stop a run while it is open. Its tasks check every second."""

import json

from retrofill.engine.ramp import Ramp
from retrofill.engine.shares import Standing, out_of_time
from retrofill.model.limits import Limits
from retrofill.state.connection import Connection, Cursor, one, transaction
from retrofill.state.events import ITSELF, PAUSED, RESUMED, STOPPED, record
from retrofill.state.locks import lock_standing
from retrofill.state.runs import is_open
from retrofill.state.statements import load

_SQL = load("limits.sql")


def get_limits(conn: Connection, run_id: int) -> Limits:
    """Return the current limits of a run."""
    with transaction(conn) as cur:
        return get_standing(cur, run_id).limits


def get_standing(cur: Cursor, run_id: int) -> Standing:
    """Return a run's limits, and how far it has used them, without locking the run."""
    cur.execute(_SQL["get_standing"], {"run_id": run_id})
    return one(cur, Standing, limits=Limits.from_json, ramp=Ramp.from_json_if_any)


def change_limits(
    conn: Connection, run_id: int, *, who: str = ITSELF, **changes: float | None
) -> bool:
    """Change limits of an open run; return False if it is closed.

    A change of ``ramp_minutes`` starts the ramp again.

    :param who: the user who changes them
    :param changes: new values by field of :class:`Limits`
    :raises StateError: there is no such run or limit, or the value is not allowed
    """
    with transaction(conn) as cur:
        before = lock_standing(cur, run_id).limits.as_json()
        cur.execute(_SQL["change_limits"], {"run_id": run_id, "changes": json.dumps(changes)})
        if not cur.rowcount:
            return False
        for name, value in changes.items():
            if value != before[name]:
                if name == "paused":
                    record(cur, run_id, who, PAUSED if value else RESUMED)
                else:
                    record(cur, run_id, who, name, _text(value), was=_text(before[name]))
    return True


def _text(value: object) -> str:
    return json.dumps(value) if value or value == 0 else ""


def stop(conn: Connection, run_id: int, reason: str, who: str = ITSELF) -> bool:
    """Make all tasks of an open run stop listing and calling; return False if it is closed.

    A run that is stopped already keeps its first reason.

    :param who: the user who stops it
    """
    with transaction(conn) as cur:
        return stop_within(cur, run_id, reason, who)


def stop_within(cur: Cursor, run_id: int, reason: str, who: str = ITSELF) -> bool:
    """Do what :func:`stop` does, within a transaction."""
    cur.execute(_SQL["stop_run"], {"run_id": run_id, "reason": reason})
    if cur.rowcount:
        record(cur, run_id, who, STOPPED, reason)
        return True
    return is_open(cur, run_id)


def stop_if_late(conn: Connection, run_id: int) -> str | None:
    """Stop a run whose ``max_minutes`` have passed; return why it is stopped, None if it is not."""
    with transaction(conn) as cur:
        standing = get_standing(cur, run_id)
    reason = standing.stop_reason
    if reason is None and standing.is_late:
        reason = out_of_time(standing.limits.max_minutes)
        stop(conn, run_id, reason)
    return reason
