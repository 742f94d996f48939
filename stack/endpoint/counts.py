"""What the endpoint has seen: requests, executions, items, calls in flight."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

KEPT_CALLS = 100_000
"""How many of the last calls are recorded."""

Counted = Literal["executed", "received"]


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation. Times are seconds on the endpoint's monotonic clock."""

    keys: list[str]
    executed: bool
    """Whether the function ran."""
    arrived_at: float
    """When the last byte of the request arrived."""
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
    billed_ms: int = 0
    """Milliseconds billed for the executions, including those that still run."""
    in_flight: int = 0
    """Current invocations that a function works on or a client waits for."""
    max_in_flight: int = 0
    max_in_flight_ever: int = 0
    """The highest since the endpoint started."""
    deliveries: int = 0
    """Items in the executed invocations, including repeats."""
    connections: int = 0
    by_operation: dict[str, int] = field(default_factory=dict)
    """Requests by operation."""


class Counts:
    """The counters. The two APIs write them, the observation requests read them."""

    def __init__(self) -> None:
        self.running = 0
        """Current executions."""
        self.stats = Stats()
        self.reset()

    def reset(self) -> None:
        """Restart all counts; calls in flight stay in flight."""
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
        """Count an invocation, and its items, as in flight from now on."""
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
        """Count an invocation as no longer in flight."""
        self.stats.in_flight -= 1

    def items(self, of: Counted, above: int) -> dict[str, int]:
        """Return how often each item arrived, for those that arrived more often than `above`."""
        found = self._executed if of == "executed" else self._executed + self._refused
        return {key: count for key, count in found.items() if count > above}
