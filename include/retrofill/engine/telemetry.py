"""What a task that calls tells metrics: what it did since it told the last time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from retrofill.engine.progress import NOTHING, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was done since the last time, and what there is now."""

    settled: Seen
    took_s: Sequence[float]
    """How long the calls took that were not refused, shortest first."""

    in_flight: int
    left: int
    """Items of the task's batch that are not settled."""

    def quantile_s(self, share: float) -> float | None:
        """Return how long this share of the calls took at most; None: there was none."""
        if not self.took_s:
            return None
        return self.took_s[min(int(len(self.took_s) * share), len(self.took_s) - 1)]


Tell: TypeAlias = Callable[[Told], None]


class Telemetry:
    """Sums up what a task does between two times that it tells.

    The slices of the pulse are no measure of that: in a long run, one is of ten minutes.

    :param items: how many were left in its batch at first
    :param seen: returns all that the task has settled so far
    """

    def __init__(self, items: int, seen: Callable[[], Seen]) -> None:
        self._items = items
        self._seen = seen
        self._before = NOTHING
        self._took_s: list[float] = []

    def took(self, took_s: float) -> None:
        """Note how long a call took that was not refused."""
        self._took_s.append(took_s)

    def take(self, in_flight: int) -> Told:
        """Return what there is to tell, and begin again."""
        seen = self._seen()
        new, self._before = seen.since(self._before), seen
        took_s, self._took_s = self._took_s, []
        left = self._items - seen.succeeded - seen.quarantined
        return Told(settled=new, took_s=sorted(took_s), in_flight=in_flight, left=left)
