"""Changing and stopping a run while it is open; its tasks look every second."""

import json

from retrofill.engine.ramp import Ramp
from retrofill.engine.shares import Standing, out_of_time
from retrofill.model.limits import Limits
from retrofill.state.connection import Connection, Cursor, one, transaction
from retrofill.state.statements import load

_SQL = load("limits.sql")


def get_limits(conn: Connection, run_id: int) -> Limits:
    """Return the limits of a run as they are now."""
    with transaction(conn) as cur:
        return find_standing(cur, run_id).limits


def find_standing(cur: Cursor, run_id: int) -> Standing:
    """Return how a run stands, without its lock."""
    cur.execute(_SQL["get_standing"], {"run_id": run_id})
    return one(cur, Standing, limits=Limits.from_json, ramp=Ramp.from_json)


def change_limits(conn: Connection, run_id: int, **changes: float | None) -> bool:
    """Change some limits of an open run; return False if it is closed.

    :param changes: new values by the names of :class:`Limits`
    :raises StateError: there is no such limit, or the value is not allowed
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["change_limits"], {"run_id": run_id, "changes": json.dumps(changes)})
        return cur.rowcount == 1


def stop(conn: Connection, run_id: int, reason: str) -> bool:
    """Make every task of an open run stop listing and calling; return False if it is closed.

    The first reason stays.
    """
    with transaction(conn) as cur:
        return stop_within(cur, run_id, reason)


def stop_within(cur: Cursor, run_id: int, reason: str) -> bool:
    """Do what :func:`stop` does, within a transaction."""
    cur.execute(_SQL["stop_run"], {"run_id": run_id, "reason": reason})
    return cur.rowcount == 1


def stop_if_late(conn: Connection, run_id: int) -> str | None:
    """Return why a run is stopped, as it is now if its minutes have passed; None: it is not."""
    with transaction(conn) as cur:
        standing = find_standing(cur, run_id)
    reason = standing.stop_reason
    if reason is None and standing.is_late:
        reason = out_of_time(standing.limits.max_minutes)
        stop(conn, run_id, reason)
    return reason
