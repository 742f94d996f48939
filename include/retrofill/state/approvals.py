"""Approvals: whether a person has approved the plan of a run, and withdrawing what nobody has."""

from typing import NamedTuple

from retrofill.faults import Point, reach
from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.runs import Run
from retrofill.state import successes
from retrofill.state.arrays import numbers
from retrofill.state.batches import release_run
from retrofill.state.connection import Connection, Cursor, rows, transaction, value, values
from retrofill.state.events import ITSELF, record
from retrofill.state.limits import stop_within
from retrofill.state.locks import lock_job, lock_run
from retrofill.state.statements import load

_SQL = load("approvals.sql")

EXTENTS = 5
"""Extents of up to ten thousand items that are withdrawn in one transaction."""


class _Extent(NamedTuple):
    """A stretch of numbers that entered for the run."""

    first_seq: int
    last_seq: int


def ask(conn: Connection, run_id: int, mark: str, *, hours: int) -> Approval | None:
    """Have a plan wait for a person; return None if the run is closed, or its plan turned down.

    :param mark: tells this asking from another
    :param hours: after which it expires
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["ask"], {"run_id": run_id, "mark": mark, "hours": hours})
        asked = values(cur)
        if asked:
            record(cur, run_id, ITSELF, ApprovalStatus.WAITING)
    reach(Point.APPROVAL_ASKED)
    return Approval.from_json_if_any(asked[0]) if asked else None


def answer(conn: Connection, run_id: int, status: ApprovalStatus, by: str = "") -> Approval | None:
    """Record what became of a plan that waits; unless it was approved, its run stops.

    :param by: who answered; empty: nobody
    :returns: what has become of it, perhaps by another answer
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["answer"], {"run_id": run_id, "status": status, "by": by})
        if cur.rowcount:
            record(cur, run_id, by, status)
        approval = _stop_unless_approved(cur, run_id)
    reach(Point.APPROVAL_ANSWERED)
    return approval


def avoid(conn: Connection, run_id: int, why: str) -> None:
    """Take an approval back, since what was approved would not be what runs; the run stops."""
    with transaction(conn) as cur:
        cur.execute(_SQL["avoid"], {"run_id": run_id})
        if cur.rowcount:
            record(cur, run_id, ITSELF, ApprovalStatus.VOID)
        stop_within(cur, run_id, why)
    reach(Point.APPROVAL_ANSWERED)


def note_changes(conn: Connection, run_id: int, changed: int, *, more: bool) -> None:
    """Record how many objects were modified after the run was opened, or that it is more."""
    with transaction(conn) as cur:
        cur.execute(_SQL["note_changes"], {"run_id": run_id, "changed": changed, "more": more})


def withdraw(conn: Connection, run: Run) -> int:
    """Take back what a run has enqueued and no call has carried; return how many items.

    What was new is unknown again, and what was redriven is back where it was. What another run
    waits for stays, for that to take over, and so does what earlier runs left behind. Broken off,
    it goes on when it is asked for again.
    """
    release_run(conn, run.run_id)
    key = {"run_id": run.run_id, "job_id": run.job_id}
    total, after = 0, -1
    while True:
        with transaction(conn) as cur:
            lock_job(cur, run.job_id)
            lock_run(cur, run.run_id)
            if _is_withdrawn(cur, run.run_id):
                return total
            cur.execute(_SQL["list_extents"], {**key, "after": after, "extents": EXTENTS})
            extents = rows(cur, _Extent)
            if extents:
                count = _take_back(cur, key, extents)
            else:
                count = 0
                cur.execute(_SQL["give_back"], key)
                cur.execute(_SQL["mark_withdrawn"], key)
        reach(Point.WITHDRAWING)
        if not extents:
            return total
        total, after = total + count, extents[-1].first_seq


def _take_back(cur: Cursor, key: dict[str, int], extents: list[_Extent]) -> int:
    cur.execute(_SQL["list_kept"], key)
    spans = {
        "kept": value(cur),
        "firsts": numbers(extent.first_seq for extent in extents),
        "lasts": numbers(extent.last_seq for extent in extents),
    }
    cur.execute(_SQL["break_extents"], {**key, **spans})
    cur.execute(_SQL["put_back"], {**key, **spans})
    count = cur.rowcount
    successes.put_back(cur, {**key, **spans})
    cur.execute(_SQL["withdraw"], {**key, **spans})
    count += cur.rowcount
    cur.execute(_SQL["count_withdrawn"], {**key, "count": count})
    return count


def _is_withdrawn(cur: Cursor, run_id: int) -> bool:
    approval = _read(cur, run_id)
    return approval is not None and approval.withdrawn


def _stop_unless_approved(cur: Cursor, run_id: int) -> Approval | None:
    approval = _read(cur, run_id)
    if approval is not None and approval.is_negative:
        stop_within(cur, run_id, approval.why)
    return approval


def _read(cur: Cursor, run_id: int) -> Approval | None:
    cur.execute(_SQL["get_approval"], {"run_id": run_id})
    return Approval.from_json_if_any(value(cur))
