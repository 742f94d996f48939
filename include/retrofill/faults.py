"""Fault points: named places where a test may kill, stop or fail the process that reaches them.

``RETROFILL_FAULT=point:nth:action`` in the environment arms them for a process; separate several
with commas. Otherwise nothing is armed, and :func:`reach` does nothing. Points are where a crash
would be worst: next to each commit, and next to each request.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import partial

from retrofill.model.errors import RetrofillError, StateUnavailable

VARIABLE = "RETROFILL_FAULT"
"""The environment variable that arms fault points."""


class Point(StrEnum):
    """Where a fault may be injected, in the order in which an item passes."""

    RUN_OPENED = "run.opened"  # run and set are committed; their numbers are not returned yet
    PARTITIONS_WRITTEN = "partitions.written"  # committed; not returned yet
    CHUNK_COPIED = "chunk.copied"  # its new items are in process; the cursor has not moved yet
    CHUNK_COMMITTED = "chunk.committed"  # items and cursor are committed together
    CANARY_MOVED = "canary.moved"  # its items have numbers of their own; not committed yet
    CANARY_CHOSEN = "canary.chosen"  # its batch is committed; other items are not planned yet
    BATCHES_PLANNED = "batches.planned"  # the batches of a set are committed
    PLAN_STORED = "plan.stored"  # committed; not shown yet
    APPROVAL_ASKED = "approval.asked"  # the wait is committed; nobody was asked yet
    APPROVAL_ANSWERED = "approval.answered"  # the answer is committed, but has no effect yet
    WITHDRAWING = "plan.withdrawing"  # some items of a rejected plan are withdrawn, others not
    BATCH_TAKEN = "batch.taken"  # its lease is committed; nothing is loaded yet
    PORTION_LOADED = "portion.loaded"  # none of its calls is written ahead yet
    SETTLE_WRITTEN = "settle.written"  # ended and next calls are written; not committed yet
    SETTLE_COMMITTED = "settle.committed"  # the same is committed; no next call has left yet
    CALL_SENT = "call.sent"  # one of the calls written ahead has left; the next ones have not
    CALLS_SENT = "calls.sent"  # all calls written ahead have left
    CALL_ANSWERED = "call.answered"  # a response has arrived; it is not recorded yet
    BATCH_RELEASED = "batch.released"  # its task has not ended yet
    RUN_CLOSING = "run.closing"  # the set's batches are released; the run is not closed yet
    SET_CLOSED = "set.closed"  # its run is not closed yet
    RUN_CLOSED = "run.closed"  # no notification is sent yet
    PART_WRITTEN = "part.written"  # of the report files; their manifest is not written yet
    NOTIFIED = "run.notified"  # the notification was accepted; that is not recorded yet


class InjectedError(RetrofillError):
    """The error of the action ``raise``."""


def _raise() -> None:
    raise InjectedError("a fault was injected here")


def _lose() -> None:
    raise StateUnavailable("a fault was injected here: the server's answer is lost")


ACTIONS: Mapping[str, Callable[[], None]] = {
    "kill": partial(signal.raise_signal, signal.SIGKILL),
    "stop": partial(signal.raise_signal, signal.SIGSTOP),  # until SIGCONT
    "raise": _raise,  # an InjectedError
    "lose": _lose,  # as if the connection to Postgres had broken here
}


_FAULT = re.compile(rf"({'|'.join(map(re.escape, Point))}):([1-9][0-9]*):({'|'.join(ACTIONS)})")


def armed(plan: str) -> Callable[[Point], None]:
    """Return a function that acts at the points of a plan in the format of :data:`VARIABLE`.

    :raises ValueError: the plan has an unknown point, number or action
    """
    actions: dict[tuple[Point, int], Callable[[], None]] = {}
    for fault in plan.split(","):
        parts = _FAULT.fullmatch(fault.strip())
        if parts is None:
            raise ValueError(
                f"{VARIABLE}: {fault!r} is not allowed; give point:nth:action, point one of"
                f" {', '.join(Point)}, nth 1 or more, action one of {', '.join(ACTIONS)}"
            )
        point, nth, action = parts.groups()
        actions[Point(point), int(nth)] = ACTIONS[action]
    reached: Counter[Point] = Counter()

    def act(point: Point) -> None:
        reached[point] += 1
        if action := actions.get((point, reached[point])):
            action()

    return act


_plan = os.environ.get(VARIABLE)
_act: Callable[[Point], None] | None = armed(_plan) if _plan else None


def reach(point: Point) -> None:
    """Do what was armed for a point, if anything was."""
    if _act is not None:
        _act(point)


@contextmanager
def injected(act: Callable[[Point], None]) -> Iterator[None]:
    """Call a function at every point that any thread of this process reaches."""
    global _act  # noqa: PLW0603  the points belong to the process
    before, _act = _act, act
    try:
        yield
    finally:
        _act = before
