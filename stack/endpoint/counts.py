"""What the endpoint has seen: requests, executions, items, calls in flight."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Literal
from urllib.parse import unquote_plus

KEPT_CALLS = 100_000
"""How many of the last calls a record is kept of."""

_GENERATION = 50_000

Delivery = Literal["executed", "received"]


@dataclass(slots=True)
class Call:
    """The record of one invocation. Times are seconds on the endpoint's monotonic clock."""

    number: int
    """Its number since the last reset, from 1."""

    function: str
    """The function's name."""

    qualifier: str
    """The qualifier it was called with, or ''."""

    keys: list[str]
    """The keys of the items it carried."""

    executed: bool
    """Whether the function ran."""

    outcome: str
    """How it was answered, as in :attr:`Stats.by_outcome`."""

    arrived_at: float
    """When all of it had arrived."""

    ran_until: float
    """When the function ended; `arrived_at` if it did not run."""

    invocation_id: str
    """Its ``amz-sdk-invocation-id``, or ''."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers since the last reset."""

    requests: int
    """Requests to the AWS APIs."""

    invocations: int
    """Requests to invoke a function, dry runs not counted."""

    executions: int
    """How often a function ran."""

    in_flight: int
    """Invocations that a function works on or a client waits for, now."""

    max_in_flight: int
    """The most of them at one time."""

    max_in_flight_ever: int
    """The same, since the endpoint's start."""

    running: int
    """Executions, now."""

    max_running: int
    """The most of them at one time."""

    repeated_invocation_ids: int
    """Requests that came with the ``amz-sdk-invocation-id`` of an earlier one: an SDK's retries."""

    deliveries: int
    """Items carried by the executed invocations, repeats counted."""

    connections: int
    """Connections accepted."""

    by_operation: dict[str, int] = field(default_factory=dict)
    """Requests by operation."""

    by_outcome: dict[str, int] = field(default_factory=dict)
    """Requests by how they were answered: ``invoke 200``, ``invoke 429 TooManyRequestsException``,
    ``invoke rst``..."""


class Counts:
    """The counters themselves; the two APIs write, the observation requests read."""

    __slots__ = (
        "_earlier_ids",
        "_executed",
        "_ids",
        "_refused",
        "by_operation",
        "by_outcome",
        "calls",
        "connections",
        "deliveries",
        "executions",
        "in_flight",
        "invocations",
        "max_in_flight",
        "max_in_flight_ever",
        "max_running",
        "repeated_invocation_ids",
        "requests",
        "running",
    )

    def __init__(self) -> None:
        self.in_flight = self.running = self.max_in_flight_ever = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew; what is in flight stays so."""
        self.requests = self.invocations = self.executions = self.connections = 0
        self.max_in_flight, self.max_running = self.in_flight, self.running
        self.repeated_invocation_ids = self.deliveries = 0
        self.by_operation: Counter[str] = Counter()
        self.by_outcome: Counter[str] = Counter()
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._executed: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._refused: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._ids: set[bytes] = set()
        self._earlier_ids: set[bytes] = set()

    def enter(self, *, runs: bool) -> None:
        """Count an invocation that is in flight from now on."""
        self.in_flight += 1
        if self.in_flight > self.max_in_flight:
            self.max_in_flight = self.in_flight
            self.max_in_flight_ever = max(self.max_in_flight_ever, self.in_flight)
        if runs:
            self.executions += 1
            self.running += 1
            self.max_running = max(self.max_running, self.running)

    def leave(self, *, ran: bool) -> None:
        """Count an invocation that is in flight no more."""
        self.in_flight -= 1
        if ran:
            self.running -= 1

    def note_items(self, keys: list[str], *, encoded: bool, executed: bool) -> None:
        """Count the items of an invocation.

        :param encoded: whether the keys are URL-encoded; they are decoded when they are read
        """
        if executed:
            self.deliveries += len(keys)
        (self._executed if executed else self._refused)[encoded].update(keys)

    def note_invocation_id(self, identifier: bytes) -> None:
        """Count a repeated SDK invocation id, among the last 50,000 to 100,000 of them."""
        if identifier in self._ids or identifier in self._earlier_ids:
            self.repeated_invocation_ids += 1
            return
        self._ids.add(identifier)
        if len(self._ids) >= _GENERATION:
            self._earlier_ids, self._ids = self._ids, set()

    def items(self, of: Delivery = "executed", above: int = 0) -> dict[str, int]:
        """Return how often each item came, for those that came more often than ``above``."""
        counters = (self._executed,) if of == "executed" else (self._executed, self._refused)
        merged: Counter[str] = Counter()
        for plain, encoded in counters:
            merged.update(plain)
            # Clients differ in which characters they encode: add up the spellings of one key.
            for key, count in encoded.items():
                merged[unquote_plus(key)] += count
        return {key: count for key, count in merged.items() if count > above}

    def records(self) -> list[dict[str, object]]:
        """Return the records of the last calls, the oldest first."""
        return [asdict(call) for call in self.calls]

    def stats(self) -> dict[str, object]:
        """Return the members of :class:`Stats`."""
        return asdict(
            Stats(
                **{
                    name: getattr(self, name)
                    for name in Stats.__dataclass_fields__
                    if not name.startswith("by_")
                },
                by_operation=dict(sorted(self.by_operation.items())),
                by_outcome=dict(sorted(self.by_outcome.items())),
            )
        )
