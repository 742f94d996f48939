"""Calls and what becomes of them: the values that travel between dispatch, client and state."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Entry:
    """An item of a batch while an invoke task holds it."""

    seq: int
    """Its number in the in-process cache."""

    record: bytes
    """Its part of a call's payload, encoded once."""

    event_id: str
    """The name under which the function's answer may speak of it."""

    attempts: int = 0
    """Calls that carried it and may have run the function."""

    failures: int = 0
    """Attempts that failed with it alone to blame."""

    call_cap: int | None = None
    """The most items that a call with it may carry; None: no limit of its own."""

    unsure: bool = False
    """Whether an earlier attempt ended without an answer."""


@dataclass(slots=True, eq=False)
class Call:
    """The items that one request to the function carries."""

    entries: list[Entry]
    attempt: int = 1
    """Which request with these items this is; 1 for the first."""

    number: int = 0
    """Its number in the batch, given when it is written ahead; 0 before."""

    sent_at: float = 0.0
    """When it was sent, in monotonic seconds."""

    refusals: int = 0
    """How often it was refused in a row while the function started up."""

    silences: int = 0
    """How often it ended without an answer in a row."""

    @property
    def duplicates(self) -> int:
        """How many of its items may have their work done twice by it."""
        return sum(entry.unsure for entry in self.entries)

    @property
    def multirange(self) -> str:
        """The numbers of its items, as a Postgres multirange literal."""
        spans: list[list[int]] = []
        for entry in self.entries:
            if spans and entry.seq == spans[-1][1] + 1:
                spans[-1][1] = entry.seq
            else:
                spans.append([entry.seq, entry.seq])
        return "{" + ",".join(f"[{first},{last}]" for first, last in spans) + "}"


@dataclass(frozen=True, slots=True)
class EndedCall:
    """How one call ended, as the state records it."""

    number: int
    outcome: str
    request_id: str = ""
    executed_version: str = ""
    error_type: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An item that waits for a person from now on, and the call that settled it."""

    entry: Entry
    call: EndedCall
    error: str


@dataclass(slots=True)
class Settlement:
    """What one settling transaction writes."""

    ended: list[EndedCall] = field(default_factory=list)
    succeeded: list[tuple[int, int, int]] = field(default_factory=list)
    """(seq, number of the call, attempts) of each item that the function processed."""

    quarantined: list[Quarantined] = field(default_factory=list)
    retried: list[tuple[Entry, float]] = field(default_factory=list)
    """Items that will be called again, and in how many seconds at the earliest."""

    def __bool__(self) -> bool:
        return bool(self.ended)


@dataclass(frozen=True, slots=True)
class Allotment:
    """What an invoke task may do until it asks again."""

    concurrency: int
    """Calls that may be in flight at once; 0 while the run is paused."""

    calls_per_second: float | None
    """The most calls to start in a second; None: no limit."""

    stop_reason: str | None
    """Why the run must not send another call; None: it may."""
