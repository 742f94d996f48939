"""Fault points: named places where a test may kill, stop or fail the process that reaches them.

``RETROFILL_FAULT=point:nth:action`` in the environment, some of them with commas between, arms
them for a process; nothing is armed otherwise, and :func:`reach` does nothing. Points stand where
a crash would be worst: beside each commit, and beside each request.
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
    """Run and set are committed; nobody was told their numbers."""

    PARTITIONS_WRITTEN = "partitions.written"
    """The partitions of a run are committed; nobody was told of them."""

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
    """The plan of a run is committed; nobody has seen it."""

    APPROVAL_ASKED = "approval.asked"
    """That the run waits for a person is committed; nobody was asked."""

    APPROVAL_ANSWERED = "approval.answered"
    """What a person answered is committed; nothing follows from it yet."""

    WITHDRAWING = "plan.withdrawing"
    """Some of what nobody approved is withdrawn, and committed; the rest is not."""

    BATCH_TAKEN = "batch.taken"
    """The lease of a batch is committed; nothing of it is loaded."""

    PORTION_LOADED = "portion.loaded"
    """A portion of a batch is loaded; none of its calls is written ahead."""

    SETTLE_WRITTEN = "settle.written"
    """What ended and what comes next is written, and not committed."""

    SETTLE_COMMITTED = "settle.committed"
    """Calls are settled, the next ones written ahead; nothing has left."""

    CALL_SENT = "call.sent"
    """One of the calls that were written ahead has left; the next ones have not."""

    CALLS_SENT = "calls.sent"
    """The calls that were written ahead have left."""

    CALL_ANSWERED = "call.answered"
    """An answer has arrived; nobody has written it down."""

    BATCH_RELEASED = "batch.released"
    """A batch is given back; its task has not ended."""

    RUN_CLOSING = "run.closing"
    """The set's batches are given back; the run is not closed."""

    SET_CLOSED = "set.closed"
    """The set is closed; its run is not."""

    RUN_CLOSED = "run.closed"
    """The run is closed; nobody was notified."""

    PART_WRITTEN = "part.written"
    """A part of the report files is written; their manifest is not."""

    NOTIFIED = "run.notified"
    """The notification was handed over; nobody has written that down."""


class InjectedError(RetrofillError):
    """What the action ``raise`` raises."""


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
    "stop": _stop,  # SIGSTOP: until somebody sends SIGCONT
    "raise": _raise,  # an error of ours
    "lose": _lose,  # as if the connection to Postgres had broken here
}


def armed(plan: str) -> Callable[[Point], None]:
    """Return what acts at the points of a plan, as :data:`VARIABLE` has it.

    :raises ValueError: the plan names no such point, number or action
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
            raise ValueError(f"{VARIABLE}: {fault!r}; allowed is {allowed}") from error
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
        raise ValueError("a point is reached a first time")
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
    """Have a function called at every point that any thread of this process reaches."""
    global _act  # noqa: PLW0603  the points are the process's own
    before, _act = _act, act
    try:
        yield
    finally:
        _act = before
