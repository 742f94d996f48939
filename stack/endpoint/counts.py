"""What the endpoint has seen: requests, executions, items, calls in flight."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

KEPT_CALLS = 100_000
"""How many of the last calls are recorded."""

Delivery = Literal["executed", "received"]


@dataclass(frozen=True, slots=True)
class Call:
    """The record of one invocation. Times are seconds on the endpoint's monotonic clock."""

    keys: list[str]
    """The keys of the items it carried."""

    executed: bool
    """Whether the function ran."""

    arrived_at: float
    """When it had arrived completely."""

    ran_until: float
    """When the function ended; `arrived_at` if it did not run."""


@dataclass(slots=True)
class Stats:
    """Numbers since the last reset."""

    requests: int = 0
    """Requests to the AWS APIs."""

    invocations: int = 0
    """Requests to invoke a function, without dry runs."""

    executions: int = 0
    """How often a function ran."""

    billed_ms: int = 0
    """Milliseconds billed for the executions, including those that still run."""

    in_flight: int = 0
    """Invocations that a function works on or a client waits for, now."""

    max_in_flight: int = 0
    """The most of them at one time."""

    max_in_flight_ever: int = 0
    """The same, since the endpoint's start."""

    deliveries: int = 0
    """Items in the executed invocations, including repeats."""

    connections: int = 0
    """Accepted connections."""

    by_operation: dict[str, int] = field(default_factory=dict)
    """Requests by operation."""


class Counts:
    """The counters. The two APIs write them, the observation requests read them."""

    def __init__(self) -> None:
        self.running = 0
        """Executions, now."""
        self.stats = Stats()
        self.reset()

    def reset(self) -> None:
        """Restart all counts; what is in flight stays so."""
        in_flight, ever = self.stats.in_flight, self.stats.max_in_flight_ever
        self.stats = Stats(in_flight=in_flight, max_in_flight=in_flight, max_in_flight_ever=ever)
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._executed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def request(self, operation: str) -> None:
        """Count a request."""
        stats = self.stats
        stats.requests += 1
        stats.by_operation[operation] = stats.by_operation.get(operation, 0) + 1

    def enter(self, keys: Sequence[str], *, runs: bool, billed_ms: int = 0) -> None:
        """Count an invocation that is in flight from now on, and its items.

        :param billed_ms: billed milliseconds of its execution
        """
        stats = self.stats
        stats.in_flight += 1
        if stats.in_flight > stats.max_in_flight:
            stats.max_in_flight = stats.in_flight
            stats.max_in_flight_ever = max(stats.max_in_flight_ever, stats.in_flight)
        if runs:
            self.running += 1
            stats.executions += 1
            stats.billed_ms += billed_ms
            stats.deliveries += len(keys)
        if keys:
            (self._executed if runs else self._refused).update(keys)

    def leave(self) -> None:
        """Count an invocation that is not in flight any more."""
        self.stats.in_flight -= 1

    def items(self, of: Delivery, above: int) -> dict[str, int]:
        """Return how often each item came, for those that came more often than ``above``."""
        found = self._executed if of == "executed" else self._executed + self._refused
        return {key: count for key, count in found.items() if count > above}

    def records(self) -> list[dict[str, object]]:
        """Return the records of the last calls, the oldest first."""
        return [asdict(call) for call in self.calls]
