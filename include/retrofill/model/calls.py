"""Calls and their results: the values passed between dispatch, client and state."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from retrofill.model.cost import Usage
from retrofill.model.items import Item


@dataclass(slots=True)
class Entry:
    """An item of a batch while an ``invoke`` task holds it."""

    seq: int
    """Its number in the in-process cache."""

    item: Item
    """The item itself."""

    attempts: int = 0
    """Calls that carried it and may have run the function."""

    failures: int = 0
    """Attempts for whose failure it alone was responsible."""

    call_cap: int | None = None
    """The most items in a call that carries it; None: no limit of its own."""

    unsure: bool = False
    """Whether an earlier attempt ended without a response."""

    blamed: bool = False
    """Whether it already counts as failed in this run."""


class History(NamedTuple):
    """What earlier calls recorded about an item: the fields of its entry, and a wait."""

    attempts: int
    failures: int
    call_cap: int | None
    unsure: bool
    blamed: bool
    delay_s: float
    """Seconds that the item must still wait."""

    def entry(self, seq: int, item: Item) -> Entry:
        """Return the item with its history."""
        return Entry(
            seq, item, self.attempts, self.failures, self.call_cap, self.unsure, self.blamed
        )


class Loaded(NamedTuple):
    """The remaining items of a batch, as stored in the in-process cache."""

    seqs: Sequence[int]
    """Their numbers, in ascending order."""

    items: Sequence[Item]
    """The items, in the order of their numbers."""

    histories: Mapping[int, History]
    """The history, by number, of items that an earlier call carried."""


class Span(NamedTuple):
    """Items with consecutive numbers."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """The number of items."""
        return self.last - self.first + 1


def spans_of(seqs: Sequence[int]) -> list[Span]:
    """Return ascending numbers as spans."""
    if seqs and seqs[-1] - seqs[0] + 1 == len(seqs):  # nearly always true
        return [Span(seqs[0], seqs[-1])]
    ends = [at for at in range(1, len(seqs)) if seqs[at] != seqs[at - 1] + 1]
    borders = pairwise([0, *ends, len(seqs)]) if seqs else ()
    return [Span(seqs[begin], seqs[end - 1]) for begin, end in borders]


@dataclass(slots=True, eq=False)
class Call:
    """The items that one request to the function carries."""

    seqs: Sequence[int]
    """Their numbers, in ascending order."""

    items: Sequence[Item]
    attempt: int = 1
    """Which request with these items this is, from 1."""

    number: int = 0
    """Its number in the batch, assigned when it is written ahead; 0 before."""

    sent_at: float = 0.0
    """When it was sent, in monotonic seconds."""

    refusals: int = 0
    """How many times in a row it was refused while the function was starting."""

    silences: int = 0
    """How many times in a row it ended without a response."""

    _entries: Sequence[Entry] = ()

    @classmethod
    def of(cls, entries: Sequence[Entry], attempt: int = 1) -> "Call":
        """Return a call that carries these entries, in ascending order of their numbers."""
        seqs, items = [entry.seq for entry in entries], [entry.item for entry in entries]
        return cls(seqs, items, attempt, _entries=entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """Its items as entries, created on first access.

        A call that succeeds at once never needs them, and creating them for many items would double
        the cost of this path.
        """
        if not self._entries:
            self._entries = list(map(Entry, self.seqs, self.items))
        return self._entries

    @property
    def has_entries(self) -> bool:
        """Whether entries were created, or loaded with a history."""
        return bool(self._entries)

    def keep(self, seqs: Collection[int]) -> None:
        """Drop all items but these."""
        self._entries = [entry for entry in self.entries if entry.seq in seqs]
        self.seqs = [entry.seq for entry in self._entries]
        self.items = [entry.item for entry in self._entries]

    @property
    def duplicates(self) -> int:
        """How many of its items may be processed twice because of it."""
        return sum(entry.unsure for entry in self.entries) if self.attempt > 1 else 0

    @property
    def failures(self) -> int:
        """How many times its items failed alone."""
        return sum(entry.failures for entry in self.entries) if self.attempt > 1 else 0

    @property
    def spans(self) -> list[Span]:
        """The numbers of its items."""
        return spans_of(self.seqs)


@dataclass(frozen=True, slots=True)
class EndedCall:
    """How one call ended, as stored."""

    number: int
    outcome: str
    request_id: str = ""
    executed_version: str = ""
    error_type: str = ""
    error: str = ""

    cause: str = ""
    """Why it failed, if its outcome has several causes."""

    items: int = 0
    """How many items it carried."""

    usage: Usage | None = None
    """What it used; None: there was no response, or the run does not record usage."""

    cost: float = 0.0
    """Its cost in dollars; 0 if no price is known."""

    from_above: bool = False
    """Whether the cost is an upper bound, because nobody knows what is billed."""

    keys: Sequence[str] = ()
    """The keys of its first items, if it did not succeed."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An item that goes to quarantine, and the call that settled it."""

    entry: Entry
    call: EndedCall
    error: str


@dataclass(slots=True)
class Settlement:
    """What one settling transaction writes."""

    ended: list[EndedCall] = field(default_factory=list)
    succeeded: list[tuple[Span, int]] = field(default_factory=list)
    """Items that the function processed, with the number of the call that processed them."""

    quarantined: list[Quarantined] = field(default_factory=list)
    retried: list[tuple[Entry, float]] = field(default_factory=list)
    """Items to call again, and the seconds to wait before."""

    blamed: int = 0
    """Items that failed alone, or whose response was lost, for the first time in the run."""

    failing_as: set[str] = field(default_factory=set)
    """The errors with which those failed."""

    hints: set[str] = field(default_factory=set)
    """Explanations of errors of its calls that no item causes."""

    cured: int = 0
    """Items that succeeded after they were blamed earlier in the run."""

    @property
    def cost(self) -> float:
        """The cost of the ended calls, in dollars."""
        return sum(call.cost for call in self.ended)

    @property
    def cost_from_above(self) -> float:
        """The part of the cost that is an upper bound, because nobody knows what is billed."""
        return sum(call.cost for call in self.ended if call.from_above)

    def __bool__(self) -> bool:
        return bool(self.ended)


class Refused(NamedTuple):
    """A task's report while every call is refused."""

    for_s: float
    """Seconds since the first refusal."""

    reason: str
    """The last refusal, as the function worded it."""

    patience_s: float
    """Seconds to wait before the run stops."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What an ``invoke`` task may do until it asks again."""

    concurrency: int
    """Calls that may be in flight at once; 0 while the run is paused."""

    calls_per_second: float | None
    """The most calls to start per second; 0: none yet; None: no limit."""

    stop_reason: str | None
    """Why the run must not send another call; None: it may."""

    calls: int | None = None
    """The most calls to start; None: no limit."""

    cost: float | None = None
    """Dollars that calls ending from now on may cost; None: no limit."""

    call_cost: float = 0.0
    """The approximate cost of a call; 0: unknown."""

    tasks: int = 1
    """How many tasks of the run are active, including this one."""

    run_width: int | None = None
    """The total width of all tasks; None: the endpoint has throttled none of them."""

    width: int | None = None
    """This task's part of ``run_width``; None: leave it unchanged."""

    pause_reason: str | None = None
    """Why no call may be sent for now, although the run continues; None: calls are allowed."""

    ramp: str | None = None
    """How far the run's ramp has risen, for people; None: it has no ramp."""

    part: str | None = None
    """The run's part of a shared limit, for people; None: it shares none."""

    age_s: float = 0.0
    """Seconds since the run was opened, without those that it waited for approval."""

    most_in_flight: int = 0
    """How many calls of the whole run may be in flight."""
