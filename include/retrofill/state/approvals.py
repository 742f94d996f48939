"""Approvals: ask for approval of a plan, record the answer, and withdraw a rejected plan."""

from typing import NamedTuple

from retrofill.faults import Point, reach
from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.runs import Run, SetRef
from retrofill.state.arrays import numbers
from retrofill.state.batches import release_run
from retrofill.state.connection import (
    Connection,
    Cursor,
    execute,
    executed,
    one,
    pairs,
    transaction,
    value,
    values,
)
from retrofill.state.events import ITSELF, record
from retrofill.state.limits import stop_within
from retrofill.state.locks import lock_job, lock_run
from retrofill.state.statements import load
from retrofill.state.successes import count_redriven

_SQL = load("approvals.sql")

EXTENTS = 5
"""Extents of up to ten thousand items that are withdrawn in one transaction."""


class _PutBack(NamedTuple):
    """Items that were put back, by the place where they were before."""

    quarantined: int
    succeeded: int


def ask(conn: Connection, run_id: int, mark: str, *, hours: int) -> Approval | None:
    """Ask for approval of a plan; return None if the run is closed or its plan was rejected.

    :param mark: distinguishes this request from others
    :param hours: hours until the plan expires
    """
    with executed(conn, _SQL["ask"], run_id=run_id, mark=mark, hours=hours) as cur:
        asked = values(cur)
        if asked:
            record(cur, run_id, ITSELF, ApprovalStatus.WAITING)
    reach(Point.APPROVAL_ASKED)
    return Approval.from_json_if_any(asked[0]) if asked else None


def answer(conn: Connection, run_id: int, status: ApprovalStatus, by: str = "") -> Approval | None:
    """Record the answer to a plan that waits. If it is not an approval, stop the run.

    :param by: the user who answered; empty: nobody
    :returns: the approval as it is now, perhaps with an earlier answer
    """
    with executed(conn, _SQL["answer"], run_id=run_id, status=status, by=by) as cur:
        if cur.rowcount:
            record(cur, run_id, by, status)
        approval = _read(cur, run_id)
        if approval is not None and approval.is_negative:
            stop_within(cur, run_id, approval.why)
    reach(Point.APPROVAL_ANSWERED)
    return approval


def revoke(conn: Connection, run_id: int, why: str) -> None:
    """Stop a run and void its approval, because it would run something else than was approved."""
    with executed(conn, _SQL["revoke"], run_id=run_id) as cur:
        if cur.rowcount:
            record(cur, run_id, ITSELF, ApprovalStatus.VOID)
        stop_within(cur, run_id, why)
    reach(Point.APPROVAL_ANSWERED)


def note_changes(conn: Connection, run_id: int, changed: int, *, more: bool) -> None:
    """Record how many objects were modified after the run was opened.

    :param more: whether there are more than were counted
    """
    execute(conn, _SQL["note_changes"], run_id=run_id, changed=changed, more=more)


def withdraw(conn: Connection, run: Run) -> int:
    """Withdraw items that a run enqueued and no call has carried; return their number.

    New items become unknown again; redriven items return to where they were. It leaves items that
    another run waits for, so that it can take them over, and items of earlier runs. If it is
    interrupted, the next call continues.
    """
    release_run(conn, run.run_id)
    key = {"run_id": run.run_id, "job_id": run.job_id}
    total, after = 0, -1
    while True:
        with transaction(conn) as cur:
            lock_job(cur, run.job_id)
            lock_run(cur, run.run_id)
            approval = _read(cur, run.run_id)
            if approval is not None and approval.withdrawn:
                return total
            cur.execute(_SQL["list_extents"], {**key, "after": after, "extents": EXTENTS})
            extents = pairs(cur)
            if extents:
                total += _withdraw_extents(cur, key, extents)
                after = max(extents)
            else:
                cur.execute(_SQL["give_back"], key)
                cur.execute(_SQL["mark_withdrawn"], key)
        reach(Point.WITHDRAWING)
        if not extents:
            return total


def _withdraw_extents(cur: Cursor, key: dict[str, int], extents: dict[int, int]) -> int:
    cur.execute(_SQL["list_kept"], key)
    asked = {
        **key,
        "kept": value(cur),
        "firsts": numbers(extents),
        "lasts": numbers(extents.values()),
    }
    cur.execute(_SQL["break_extents"], asked)
    cur.execute(_SQL["put_back"], asked)
    back = one(cur, _PutBack)
    if back.succeeded:
        count_redriven(cur, SetRef(key["run_id"], 1), -back.succeeded)
    cur.execute(_SQL["withdraw"], asked)
    count = back.quarantined + cur.rowcount
    cur.execute(_SQL["count_withdrawn"], {**key, "count": count})
    return count


def _read(cur: Cursor, run_id: int) -> Approval | None:
    cur.execute(_SQL["get_approval"], {"run_id": run_id})
    return Approval.from_json_if_any(value(cur))
