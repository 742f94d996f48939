"""Progress of a batch: the counts in its log and in its task's result."""

from collections import Counter
from typing import NamedTuple, Self, TypedDict

from retrofill.model.calls import Call, Settlement
from retrofill.model.cost import dollars
from retrofill.model.report import troubles_text


class Invoked(TypedDict):
    """What one ``invoke`` task did."""

    items: int
    calls: int
    succeeded: int
    quarantined: int
    retries: int
    duplicates: int


class Seen(NamedTuple):
    """What a task has settled, in total or since some time."""

    outcomes: Counter[str]
    """Calls that ended, by outcome."""

    troubles: Counter[str]
    """Calls that did not succeed, by cause or, without one, by outcome."""

    succeeded: int = 0
    quarantined: int = 0
    cost: float = 0.0
    """Dollars that the calls cost."""

    def since(self, before: Self) -> "Seen":
        """Return what was settled since an earlier time."""
        return Seen(
            self.outcomes - before.outcomes,
            self.troubles - before.troubles,
            self.succeeded - before.succeeded,
            self.quarantined - before.quarantined,
            self.cost - before.cost,
        )


NOTHING = Seen(Counter(), Counter())


class Progress:
    """The counts of one ``invoke`` task, and their log line.

    :param items: the items that were left when the task began
    :param now: monotonic seconds
    """

    def __init__(self, items: int, *, now: float) -> None:
        self._items = items
        self._began = now
        self._told_at, self._told_done = now, 0
        self._calls = self._succeeded = self._quarantined = self._retries = self._duplicates = 0
        self._cost = 0.0
        self._outcomes: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()

    @property
    def succeeded(self) -> int:
        """How many items the task has settled as succeeded."""
        return self._succeeded

    @property
    def seen(self) -> Seen:
        """Everything that was settled so far."""
        troubles = self._outcomes + self._causes
        troubles["failed"] -= self._causes.total()
        del troubles["succeeded"]
        counts = self._succeeded, self._quarantined, self._cost
        return Seen(self._outcomes.copy(), +troubles, *counts)

    def wrote_ahead(self, calls: list[Call]) -> None:
        """Count calls that are to be sent."""
        self._calls += len(calls)
        self._retries += sum(call.attempt > 1 for call in calls)
        self._duplicates += sum(call.duplicates for call in calls)

    def settled(self, settlement: Settlement) -> None:
        """Count what was settled."""
        self._succeeded += sum(span.size for span, _ in settlement.succeeded)
        self._quarantined += len(settlement.quarantined)
        self._cost += settlement.cost
        self._outcomes.update(call.outcome for call in settlement.ended)
        self._causes.update(call.cause for call in settlement.ended if call.cause)

    def line(self, now: float, in_flight: int) -> str:
        """Return a line for people: items done, calls, rate, errors and the remaining time.

        The remaining time goes by the slower of two paces, overall and since the last line, because
        items that fail and are retried come last.
        """
        done = self._succeeded + self._quarantined
        passed_s = max(now - self._began, 1e-3)
        pace = min(done / passed_s, (done - self._told_done) / max(now - self._told_at, 1e-3))
        self._told_at, self._told_done = now, done
        share = f"{done / self._items:.0%}" if self._items else "100%"
        parts = [
            f"{done:,} of {self._items:,} items done ({share})",
            f"{self._calls:,} calls ({self._calls / passed_s:,.0f}/s)",
            f"{in_flight} in flight",
        ]
        if self._cost:
            parts.append(f"{dollars(self._cost)} spent")
        if self._quarantined:
            parts.append(f"{self._quarantined:,} quarantined")
        troubles = {name: n for name, n in sorted(self._outcomes.items()) if name != "succeeded"}
        if troubles:
            parts.append(troubles_text(troubles, self._causes))
        if done < self._items and pace > 0:
            parts.append(f"about {(self._items - done) / pace:,.0f} s to go")
        return ", ".join(parts)

    def summary(self) -> Invoked:
        """Return the counts as plain values."""
        return Invoked(
            items=self._items,
            calls=self._calls,
            succeeded=self._succeeded,
            quarantined=self._quarantined,
            retries=self._retries,
            duplicates=self._duplicates,
        )
