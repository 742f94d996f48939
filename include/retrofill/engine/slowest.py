"""The slowest calls of a batch, to show what delays a run."""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

from retrofill.model.calls import Call

KEPT = 10
"""How many calls are kept."""


class Slow(NamedTuple):
    """A slow call."""

    ms: int
    number: int


class Slowest:
    """Keeps the slowest calls.

    :param known: those that an earlier task kept
    """

    def __init__(self, known: Iterable[Slow] = ()) -> None:
        self._kept = nlargest(KEPT, known)

    def ended(self, number: int, took_s: float) -> None:
        """Add a call that ended."""
        ms = int(took_s * 1000)
        if len(self._kept) < KEPT or ms > self._kept[-1].ms:
            self._kept = nlargest(KEPT, [*self._kept, Slow(ms, number)])

    def now(self, in_flight: Iterable[Call], now: float) -> Sequence[Slow]:
        """Return the slowest of all calls until now, the slowest first.

        :param in_flight: calls that have not ended, oldest first
        """
        waiting = (
            Slow(int((now - call.sent_at) * 1000), call.number) for call in islice(in_flight, KEPT)
        )
        return nlargest(KEPT, [*self._kept, *waiting])
