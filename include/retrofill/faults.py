"""Fault points: named places where a test may kill, stop or fail the process that reaches them.

``RETROFILL_FAULT=point:nth:action`` in the environment arms them for a process; separate several
with commas. Otherwise nothing is armed, and :func:`reach` does nothing. Points are where a crash
would be worst: next to each commit, and next to each request.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from retrofill.model.errors import RetrofillError, StateUnavailable

VARIABLE = "RETROFILL_FAULT"
"""The environment variable that arms fault points."""


class Point(StrEnum):
    """Where a fault may be injected, in the order in which an item passes."""

    RUN_OPENED = "run.opened"
    """Run and set are committed; their numbers are not returned yet."""

    PARTITIONS_WRITTEN = "partitions.written"
    """The partitions of a run are committed; they are not returned yet."""

    CHUNK_COPIED = "chunk.copied"
    """The new items of a chunk are in the in-process cache; the cursor is not moved yet."""

    CHUNK_COMMITTED = "chunk.committed"
    """Items and cursor of a chunk are committed together."""

    CANARY_MOVED = "canary.moved"
    """The items of a canary have numbers of their own; that is not committed."""

    CANARY_CHOSEN = "canary.chosen"
    """The batch of the canary is committed; the other items are not planned."""

    BATCHES_PLANNED = "batches.planned"
    """The batches of a set are committed."""

    PLAN_STORED = "plan.stored"
    """The plan of a run is committed; it is not shown yet."""

    APPROVAL_ASKED = "approval.asked"
    """The run's wait for approval is committed; nobody was asked yet."""

    APPROVAL_ANSWERED = "approval.answered"
    """The answer to the plan is committed; nothing follows from it yet."""

    WITHDRAWING = "plan.withdrawing"
    """Some of a rejected plan's items are withdrawn and committed; the rest is not."""

    BATCH_TAKEN = "batch.taken"
    """The lease of a batch is committed; nothing of it is loaded."""

    PORTION_LOADED = "portion.loaded"
    """A portion of a batch is loaded; none of its calls is written ahead."""

    SETTLE_WRITTEN = "settle.written"
    """Ended calls and the next ones are written, but not committed."""

    SETTLE_COMMITTED = "settle.committed"
    """Calls are settled, the next ones written ahead; none of these has left."""

    CALL_SENT = "call.sent"
    """One of the calls that were written ahead has left; the next ones have not."""

    CALLS_SENT = "calls.sent"
    """The calls that were written ahead have left."""

    CALL_ANSWERED = "call.answered"
    """A response has arrived; it is not recorded."""

    BATCH_RELEASED = "batch.released"
    """A batch is released; its task has not ended."""

    RUN_CLOSING = "run.closing"
    """The set's batches are released; the run is not closed."""

    SET_CLOSED = "set.closed"
    """The set is closed; its run is not."""

    RUN_CLOSED = "run.closed"
    """The run is closed; it is not notified."""

    PART_WRITTEN = "part.written"
    """A part of the report files is written; their manifest is not."""

    NOTIFIED = "run.notified"
    """The notification was accepted; that is not recorded."""


class InjectedError(RetrofillError):
    """The error of the action ``raise``."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _raise() -> None:
    raise InjectedError("a fault was injected here")


def _lose() -> None:
    raise StateUnavailable("a fault was injected here: the server's answer is lost")


ACTIONS: Mapping[str, Callable[[], None]] = {
    "kill": _kill,  # SIGKILL, to this process
    "stop": _stop,  # SIGSTOP, until SIGCONT
    "raise": _raise,  # an error of our own
    "lose": _lose,  # as if the connection to Postgres had broken here
}


def armed(plan: str) -> Callable[[Point], None]:
    """Return a function that acts at the points of a plan in the format of :data:`VARIABLE`.

    :raises ValueError: the plan has an unknown point, number or action
    """
    actions: dict[tuple[Point, int], Callable[[], None]] = {}
    for fault in plan.split(","):
        try:
            point, nth, action = fault.strip().split(":")
            actions[Point(point), _ordinal(nth)] = ACTIONS[action]
        except (KeyError, ValueError) as error:
            allowed = (
                f"point:nth:action, point one of {', '.join(Point)}, nth 1 or more,"
                f" action one of {', '.join(ACTIONS)}"
            )
            raise ValueError(f"{VARIABLE}: {fault!r} is not allowed; give {allowed}") from error
    reached: Counter[Point] = Counter()

    def act(point: Point) -> None:
        reached[point] += 1
        action = actions.get((point, reached[point]))
        if action is not None:
            action()

    return act


def _ordinal(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("nth counts from 1")
    return number


_act: Callable[[Point], None] | None = (
    armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
)


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
