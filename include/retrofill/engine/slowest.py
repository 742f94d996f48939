"""The slowest calls of a batch, to show what holds a run up."""

from collections.abc import Iterable, Sequence
from heapq import heappush, heapreplace, nlargest
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
        self._kept: list[Slow] = []
        self._least_s = 0.0
        for slow in known:
            self._keep(slow)

    def ended(self, number: int, took_s: float) -> None:
        """Add a call that ended."""
        if took_s > self._least_s:
            self._keep(Slow(int(took_s * 1000), number))

    def now(self, in_flight: Iterable[Call], now: float) -> Sequence[Slow]:
        """Return the slowest of all calls until now, the slowest first.

        :param in_flight: calls that have not ended, oldest first
        """
        waiting = (
            Slow(int((now - call.sent_at) * 1000), call.number) for call in islice(in_flight, KEPT)
        )
        return nlargest(KEPT, [*self._kept, *waiting])

    def _keep(self, slow: Slow) -> None:
        if len(self._kept) < KEPT:
            heappush(self._kept, slow)
        elif slow > self._kept[0]:
            heapreplace(self._kept, slow)
        if len(self._kept) == KEPT:
            self._least_s = self._kept[0].ms / 1000
