"""Changing and stopping a run while it is open; its tasks look every second."""

import json

from retrofill.engine.ramp import Ramp
from retrofill.engine.shares import Standing, out_of_time
from retrofill.model.limits import Limits
from retrofill.state.connection import Connection, Cursor, one, transaction, values
from retrofill.state.events import ITSELF, PAUSED, RESUMED, STOPPED, record
from retrofill.state.locks import lock_standing
from retrofill.state.statements import load

_SQL = load("limits.sql")


def get_limits(conn: Connection, run_id: int) -> Limits:
    """Return the limits of a run as they are now."""
    with transaction(conn) as cur:
        return find_standing(cur, run_id).limits


def find_standing(cur: Cursor, run_id: int) -> Standing:
    """Return how a run stands, without its lock."""
    cur.execute(_SQL["get_standing"], {"run_id": run_id})
    return one(cur, Standing, limits=Limits.from_json, ramp=Ramp.from_json_if_any)


def change_limits(
    conn: Connection, run_id: int, *, who: str = ITSELF, **changes: float | None
) -> bool:
    """Change some limits of an open run; return False if it is closed.

    A run whose ``ramp_minutes`` are changed begins its ramp anew.

    :param who: who changes them
    :param changes: new values by the names of :class:`Limits`
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
                    record(cur, run_id, who, name, _words(value), was=_words(before[name]))
    return True


def _words(value: object) -> str:
    return json.dumps(value) if value or value == 0 else ""


def stop(conn: Connection, run_id: int, reason: str, who: str = ITSELF) -> bool:
    """Make every task of an open run stop listing and calling; return False if it is closed.

    The first reason stays.

    :param who: who stops it
    """
    with transaction(conn) as cur:
        return stop_within(cur, run_id, reason, who)


def stop_within(cur: Cursor, run_id: int, reason: str, who: str = ITSELF) -> bool:
    """Do what :func:`stop` does, within a transaction."""
    cur.execute(_SQL["stop_run"], {"run_id": run_id, "reason": reason})
    if cur.rowcount:
        record(cur, run_id, who, STOPPED, reason)
        return True
    cur.execute(_SQL["is_open"], {"run_id": run_id})
    return values(cur) == [True]


def stop_if_late(conn: Connection, run_id: int) -> str | None:
    """Return why a run is stopped, as it is now if its minutes have passed; None: it is not."""
    with transaction(conn) as cur:
        standing = find_standing(cur, run_id)
    reason = standing.stop_reason
    if reason is None and standing.is_late:
        reason = out_of_time(standing.limits.max_minutes)
        stop(conn, run_id, reason)
    return reason
