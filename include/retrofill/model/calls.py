"""Calls and what becomes of them: the values that travel between dispatch, client and state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

from retrofill.model.cost import Usage
from retrofill.model.items import Item


@dataclass(slots=True)
class Entry:
    """An item of a batch while an invoke task holds it."""

    seq: int
    """Its number in the in-process cache."""

    item: Item
    """The item itself, for whoever must name it."""

    attempts: int = 0
    """Calls that carried it and may have run the function."""

    failures: int = 0
    """Attempts that failed with it alone to blame."""

    call_cap: int | None = None
    """The most items that a call with it may carry; None: no limit of its own."""

    unsure: bool = False
    """Whether an earlier attempt ended without an answer."""

    blamed: bool = False
    """Whether it is counted among the items that failed in this run."""


class History(NamedTuple):
    """What earlier calls left an item with; see :class:`Entry`."""

    attempts: int
    failures: int
    call_cap: int | None
    unsure: bool
    blamed: bool
    delay_s: float
    """Seconds that the item must still wait."""


class Loaded(NamedTuple):
    """The items of a batch that are left, as the in-process cache remembers them."""

    seqs: Sequence[int]
    """Their numbers, rising."""

    items: Sequence[Item]
    """The items, in the order of the numbers."""

    histories: Mapping[int, History]
    """What those were left with that calls have carried before, by number."""


class Fresh(Sequence[Entry]):
    """Items that no call has carried yet, as the entries of a call.

    The entries themselves are made when one is looked at: a call that succeeds at once needs
    none, and for many items they would cost as much as the rest of its way through here.

    :param seqs: the items' numbers, rising
    """

    __slots__ = ("_made", "items", "seqs")

    def __init__(self, seqs: Sequence[int], items: Sequence[Item]) -> None:
        self.seqs = seqs
        self.items = items
        self._made: list[Entry] = []

    def __len__(self) -> int:
        return len(self.seqs)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(at, slice) and not self._made:
            return Fresh(self.seqs[at], self.items[at])
        return self._entries[at]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def _entries(self) -> list[Entry]:
        if not self._made:
            self._made = list(map(Entry, self.seqs, self.items))
        return self._made


class Span(NamedTuple):
    """Items with consecutive numbers."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many items they are."""
        return self.last - self.first + 1


def spans_of(seqs: Sequence[int]) -> list[Span]:
    """Return rising numbers as spans."""
    if seqs and seqs[-1] - seqs[0] + 1 == len(seqs):  # as nearly always
        return [Span(seqs[0], seqs[-1])]
    spans: list[Span] = []
    first = last = None
    for seq in seqs:
        if last is not None and seq == last + 1:
            last = seq
            continue
        if first is not None and last is not None:
            spans.append(Span(first, last))
        first = last = seq
    if first is not None and last is not None:
        spans.append(Span(first, last))
    return spans


@dataclass(slots=True, eq=False)
class Call:
    """The items that one request to the function carries."""

    entries: Sequence[Entry]
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
        if self.attempt == 1:
            return 0
        return sum(entry.unsure for entry in self.entries)

    @property
    def failures(self) -> int:
        """How often its items have failed alone."""
        return sum(entry.failures for entry in self.entries) if self.attempt > 1 else 0

    @property
    def spans(self) -> list[Span]:
        """The numbers of its items."""
        entries = self.entries
        return spans_of(
            entries.seqs if isinstance(entries, Fresh) else [entry.seq for entry in entries]
        )

    @property
    def items(self) -> Sequence[Item]:
        """Its items."""
        return items_of(self.entries)


def items_of(entries: Sequence[Entry]) -> Sequence[Item]:
    """Return the items of entries."""
    return entries.items if isinstance(entries, Fresh) else [entry.item for entry in entries]


def keys_of(entries: Sequence[Entry]) -> list[str]:
    """Return the keys of entries."""
    return [item.key for item in items_of(entries)]


@dataclass(frozen=True, slots=True)
class EndedCall:
    """How one call ended, as the state records it."""

    number: int
    outcome: str
    request_id: str = ""
    executed_version: str = ""
    error_type: str = ""
    error: str = ""

    cause: str = ""
    """Why it failed, where its outcome has several causes."""

    items: int = 0
    """How many items it carried."""

    usage: Usage | None = None
    """What it used; None: it has no answer, or the run counts no usage."""

    cost: float = 0.0
    """Dollars it cost; 0 where no price is known."""

    from_above: bool = False
    """Whether that is the most it can be, since nobody knows what is billed."""

    keys: Sequence[str] = ()
    """The keys of the first items it carried, if it did not succeed."""


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
    succeeded: list[tuple[Span, int]] = field(default_factory=list)
    """Items that the function processed, and the number of the call that says so."""

    quarantined: list[Quarantined] = field(default_factory=list)
    retried: list[tuple[Entry, float]] = field(default_factory=list)
    """Items that will be called again, and in how many seconds at the earliest."""

    blamed: int = 0
    """Items that failed alone, or of which the answer was lost, for the first time in the run."""

    failing_as: set[str] = field(default_factory=set)
    """The errors by which those failed."""

    hints: set[str] = field(default_factory=set)
    """What errors of its calls mean, where no item is the cause."""

    cured: int = 0
    """Items among those that succeeded which were blamed in the run before."""

    @property
    def cost(self) -> float:
        """Dollars that the ended calls cost."""
        return sum(call.cost for call in self.ended)

    @property
    def cost_from_above(self) -> float:
        """Of these, what is the most it can be, since nobody knows what is billed."""
        return sum(call.cost for call in self.ended if call.from_above)

    def __bool__(self) -> bool:
        return bool(self.ended)


class Refused(NamedTuple):
    """What a task hears while none of its calls is let through."""

    for_s: float
    """Seconds since the first of the refusals."""

    reason: str
    """The last refusal, in the function's words."""

    patience_s: float
    """Seconds of this that are waited for."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What an invoke task may do until it asks again."""

    concurrency: int
    """Calls that may be in flight at once; 0 while the run is paused."""

    calls_per_second: float | None
    """The most calls to start in a second; 0: none as yet; None: no limit."""

    stop_reason: str | None
    """Why the run must not send another call; None: it may."""

    calls: int | None = None
    """The most calls to start; None: no limit."""

    cost: float | None = None
    """Dollars that calls which end from now on may cost; None: no limit."""

    call_cost: float = 0.0
    """About what one of them costs; 0: nobody knows."""

    tasks: int = 1
    """How many tasks of the run are active, this one among them."""

    run_width: int | None = None
    """The width of all tasks together; None: the endpoint has throttled none of them."""

    width: int | None = None
    """This task's part of ``run_width``; None: leave it unchanged."""

    pause_reason: str | None = None
    """Why no call may be sent for the time being, though the run goes on; None: it may."""

    ramp: str | None = None
    """How far the run has come up its ramp, for people; None: it is on none."""

    part: str | None = None
    """The run's part of what runs of the function share, for people; None: it shares nothing."""

    age_s: float = 0.0
    """Seconds since the run was opened, but for those in which it waited for a person."""

    most_in_flight: int = 0
    """How many calls of the whole run may be in flight."""
