"""The counts of an ``invoke`` task, for its log, its result, the pulse of its run and metrics."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self, TypeAlias, TypedDict

from retrofill.model.calls import Call, Settlement
from retrofill.model.cost import dollars
from retrofill.model.report import troubles_text


class Invoked(TypedDict):
    """What one ``invoke`` task did."""

    items: int
    """The items that were left when it began."""

    calls: int
    succeeded: int
    quarantined: int
    retries: int
    duplicates: int


class Settled(NamedTuple):
    """What a task has settled, in total or since some time."""

    outcomes: Counter[str]
    """Calls that ended, by outcome."""

    troubles: Counter[str]
    """Calls that did not succeed, by cause or, without one, by outcome."""

    succeeded: int = 0
    quarantined: int = 0
    cost: float = 0.0
    """Dollars that the calls cost."""

    def since(self, before: Self) -> "Settled":
        """Return what was settled since an earlier time."""
        return Settled(
            self.outcomes - before.outcomes,
            self.troubles - before.troubles,
            self.succeeded - before.succeeded,
            self.quarantined - before.quarantined,
            self.cost - before.cost,
        )


NOTHING = Settled(Counter(), Counter())


class TaskMetrics(NamedTuple):
    """What a task reports to metrics: what it did since its last report, and what is left."""

    settled: Settled
    took_s: Sequence[float]
    """The durations of calls that were not refused, shortest first."""

    in_flight: int
    left: int
    """Items of the task's batch that are not settled."""

    def quantile_s(self, fraction: float) -> float | None:
        """Return the duration that this fraction of the calls did not exceed; None: no calls."""
        if not self.took_s:
            return None
        return self.took_s[min(int(len(self.took_s) * fraction), len(self.took_s) - 1)]


SendMetrics: TypeAlias = Callable[[TaskMetrics], None]


class Progress:
    """The counts of one ``invoke`` task.

    :param items: the items that were left when the task began
    :param now: monotonic seconds
    """

    def __init__(self, items: int, *, now: float) -> None:
        self.counts = Invoked(
            items=items, calls=0, succeeded=0, quarantined=0, retries=0, duplicates=0
        )
        self._items = items
        self._began = now
        self._logged_at, self._logged_done = now, 0
        self._cost = 0.0
        self._outcomes: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._took_s: list[float] = []
        self._reported = NOTHING

    @property
    def total(self) -> Settled:
        """Everything that was settled so far."""
        troubles = self._outcomes + self._causes
        troubles["failed"] -= self._causes.total()
        del troubles["succeeded"]
        succeeded, quarantined = self.counts["succeeded"], self.counts["quarantined"]
        return Settled(self._outcomes.copy(), +troubles, succeeded, quarantined, self._cost)

    def wrote_ahead(self, calls: list[Call]) -> None:
        """Count calls that are to be sent."""
        self.counts["calls"] += len(calls)
        self.counts["retries"] += sum(call.attempt > 1 for call in calls)
        self.counts["duplicates"] += sum(call.duplicates for call in calls)

    def took(self, took_s: float) -> None:
        """Record the duration of a call that was not refused."""
        self._took_s.append(took_s)

    def settled(self, settlement: Settlement) -> None:
        """Count what was settled."""
        self.counts["succeeded"] += sum(span.size for span, _ in settlement.succeeded)
        self.counts["quarantined"] += len(settlement.quarantined)
        self._cost += settlement.cost
        self._outcomes.update(call.outcome for call in settlement.ended)
        self._causes.update(call.cause for call in settlement.ended if call.cause)

    def take_metrics(self, in_flight: int) -> TaskMetrics:
        """Return what the task did since the last time."""
        before, self._reported = self._reported, self.total
        took_s, self._took_s = sorted(self._took_s), []
        return TaskMetrics(self._reported.since(before), took_s, in_flight, self._left)

    def line(self, now: float, in_flight: int) -> str:
        """Return a line for the log: items done, calls, rate, errors and the remaining time.

        The remaining time is based on the slower of two paces, overall and since the last line,
        because items that fail and are retried come last.
        """
        calls, left = self.counts["calls"], self._left
        done = self._items - left
        passed_s = max(now - self._began, 1e-3)
        pace = min(done / passed_s, (done - self._logged_done) / max(now - self._logged_at, 1e-3))
        self._logged_at, self._logged_done = now, done
        percent = f"{done / self._items:.0%}" if self._items else "100%"
        parts = [
            f"{done:,} of {self._items:,} items done ({percent})",
            f"{calls:,} calls ({calls / passed_s:,.0f}/s)",
            f"{in_flight} in flight",
        ]
        if self._cost:
            parts.append(f"{dollars(self._cost)} spent")
        if self.counts["quarantined"]:
            parts.append(f"{self.counts['quarantined']:,} quarantined")
        troubles = {name: n for name, n in sorted(self._outcomes.items()) if name != "succeeded"}
        if troubles:
            parts.append(troubles_text(troubles, self._causes))
        if left and pace > 0:
            parts.append(f"about {left / pace:,.0f} s to go")
        return ", ".join(parts)

    @property
    def _left(self) -> int:
        return self._items - self.counts["succeeded"] - self.counts["quarantined"]
