"""The event shape: all facts of one in one record, and what it can do when it is compiled."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrofill.events.context import EventContext
from retrofill.events.template import SEPARATOR, records_of
from retrofill.model.delivery import Contract
from retrofill.model.items import Item, ItemColumns, identifiers_of
from retrofill.model.payload import JSON, Payload

MAX_ITEMS = 10_000
"""The most items a call may carry: the largest batch that any live trigger sends."""

Headers = tuple[tuple[str, str], ...]

Parts = Callable[[Sequence[Item]], list[str]]
"""Writes items, in ASCII: so many parts for each, together its record and a comma."""

_CHARACTER_BYTES = 18
"""The most that a character becomes: one beyond 16 bits, in JSON that is text in JSON twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What writes payloads of one run."""

    parts: Parts
    identifier_in_event: Callable[[Item], str]
    head: str = ""
    tail: str = ""
    content_type: str = JSON
    headers: Callable[[Item], Headers] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """A form of event that functions know: what it is called, what it can do, how it is written."""

    name: str
    """What a person gives as ``event``."""

    words: str
    """What the form says about it, in Markdown; shapes that share the words are told together."""

    imitates: str
    """The way that its live events take, for people."""

    encoder: Callable[[EventContext], Encoder]
    """Compiles it for one run; raises ConfigError when the context lacks what it needs."""

    found_by: str = "is not looked up"
    """Where AWS tells of the live trigger, for people."""

    forms: frozenset[str] = frozenset()
    """The forms of items that can fill it; none: any can."""

    default_items: int = 1
    """How many items its live trigger sends in a call unless told otherwise."""

    max_items: int = MAX_ITEMS
    """The most items that one call can carry."""

    answers: tuple[Contract, ...] = (Contract.RETURN, Contract.BATCH_ITEM_FAILURES)
    """The contracts by which an answer may be read; the first is that of the live trigger."""

    takes_arguments: bool = False
    """Whether it has a place for constants."""

    arguments_allowed: str = ""
    """Its own limit on those, for people; empty: none."""

    needs_trigger: bool = False
    """Whether its events tell what only the live trigger knows, so that it must be looked up."""

    imitation: Any = None
    """What its room knows of the live events that it imitates; None: it imitates none."""

    carried_by: frozenset[str] | None = None
    """The kinds of functions that can receive it; None: all."""

    exact: bool = False
    """Whether only its encoder knows how long a record becomes."""

    content: tuple[str, ...] = ()
    """The fields that each item's content, a JSON object, must have."""

    hints: Mapping[str, str] = field(default_factory=dict)
    """What errors mean that come of fields which are made up, by the names of the errors."""

    @property
    def answer(self) -> Contract:
        """The contract of its live trigger."""
        return self.answers[0]

    def is_carried_by(self, kinds: Collection[str]) -> bool:
        """Return whether one of these kinds of functions can receive it."""
        return self.carried_by is None or not self.carried_by.isdisjoint(kinds)

    def compile(self, context: EventContext) -> "CompiledShape":
        """Return the shape for one run.

        :raises ConfigError: the context lacks what it needs
        """
        encoder = self.encoder(context)
        return CompiledShape(
            name=self.name,
            parts=encoder.parts,
            identifier_in_event=encoder.identifier_in_event,
            max_items=self.max_items,
            head=encoder.head,
            tail=encoder.tail,
            longest_item=None if self.exact or self.content else context.form.longest,
            content_type=encoder.content_type,
            headers=encoder.headers,
            job=context.job,
            hints=self.hints,
        )


@dataclass(frozen=True, slots=True)
class CompiledShape:
    """An event shape, compiled for one run. The same item always becomes the same bytes."""

    name: str

    parts: Parts

    identifier_in_event: Callable[[Item], str]
    """Tells the name under which the function's answer may speak of an item."""

    max_items: int
    """The most items that one call can carry."""

    head: str
    """What stands before the records."""

    tail: str
    """What stands after the records."""

    longest_item: Item | None
    """The item whose record is the longest but for its texts; None: records have any length."""

    content_type: str = JSON
    """The media type of a payload."""

    headers: Callable[[Item], Headers] | None = None
    """Writes the header fields of a payload of one item; None: it has none."""

    job: str = ""
    """The job's name."""

    hints: Mapping[str, str] = field(default_factory=dict)
    """See :attr:`EventShape.hints`."""

    @property
    def overhead(self) -> int:
        """Bytes of a payload beside its records and the one byte between each two of them."""
        return len(self.head) + len(self.tail)

    def longest(self, items: Sequence[Item]) -> int:
        """Return a number of bytes that no record of these items exceeds.

        Where contents have a longest form, no record need be written for it.
        """
        if self.longest_item is None:
            return max(map(len, self.records(items)), default=0)
        columns = ItemColumns.of(items)
        texts = (columns.keys, columns.contents)
        characters = sum(max(map(len, column), default=0) for column in texts)
        return len(self.record(self.longest_item)) + characters * _CHARACTER_BYTES

    def record(self, item: Item) -> str:
        """Write one item's part of a payload."""
        return self.records([item])[0]

    def records(self, items: Sequence[Item]) -> list[str]:
        """Write the items' parts of a payload, in ASCII."""
        return records_of(self.parts(items), len(items))

    def body(self, items: Sequence[Item]) -> bytes:
        """Return the whole payload of a call.

        :raises ValueError: more items than the shape can carry, or none
        """
        if not 0 < len(items) <= self.max_items:
            message = f"{len(items)} items in a call of shape {self.name}:"
            raise ValueError(f"{message} 1 to {self.max_items} are possible")
        parts = self.parts(items)
        parts[0] = f"{self.head}{parts[0]}"
        parts[-1] = f"{parts[-1][: -len(SEPARATOR)]}{self.tail}"
        return "".join(parts).encode("ascii")

    def payload(self, items: Sequence[Item], failures: int = 0) -> Payload:
        """Return what a call with these items carries.

        :param failures: how often they had failed alone before
        :raises ValueError: more items than the shape can carry, or none
        """
        headers = () if self.headers is None else self.headers(items[0])
        return Payload(
            self.body(items), self.content_type, headers, identifiers_of(items), failures, self.job
        )


def each(write: Callable[[Item], str]) -> Parts:
    """Return the parts of a function that writes one item."""
    return lambda items: [f"{write(item)}{SEPARATOR}" for item in items]


def listed(write: Callable[[Sequence[Item]], list[str]]) -> Parts:
    """Return the parts of a function that writes many items."""
    return lambda items: [f"{record}{SEPARATOR}" for record in write(items)]
