"""What a task that calls tells metrics: what it did since it told the last time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from retrofill.model.calls import Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was done since the last time, and what there is now."""

    items: Mapping[str, int]
    """Items that were settled, by what became of them: succeeded or quarantined."""

    calls: Mapping[str, int]
    """Calls that ended, by outcome."""

    failures: Mapping[str, int]
    """Calls that did not succeed, by cause or, where the outcome has none, by outcome."""

    cost: float
    """Dollars that these calls cost."""

    took_s: Sequence[float]
    """How long these calls took, shortest first."""

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

    :param items: how many are left in its batch
    """

    def __init__(self, items: int) -> None:
        self._left = items
        self._forget()

    def _forget(self) -> None:
        self._items: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._cost = 0.0
        self._took_s: list[float] = []

    def took(self, took_s: float) -> None:
        """Note how long a call took."""
        self._took_s.append(took_s)

    def settled(self, settlement: Settlement) -> None:
        """Count what was settled."""
        succeeded = sum(span.size for span, _ in settlement.succeeded)
        quarantined = len(settlement.quarantined)
        self._left -= succeeded + quarantined
        self._items.update(succeeded=succeeded, quarantined=quarantined)
        self._calls.update(call.outcome for call in settlement.ended)
        self._failures.update(
            call.cause or call.outcome for call in settlement.ended if call.outcome != "succeeded"
        )
        self._cost += settlement.cost

    def take(self, in_flight: int) -> Told:
        """Return what there is to tell, and begin anew."""
        told = Told(
            items=+self._items,
            calls=self._calls,
            failures=self._failures,
            cost=self._cost,
            took_s=sorted(self._took_s),
            in_flight=in_flight,
            left=self._left,
        )
        self._forget()
        return told
