"""The event shape: one record with all of a shape, and its compiled form."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from retrofill.events.context import EventContext
from retrofill.events.template import SEPARATOR, records_of
from retrofill.model.delivery import Contract
from retrofill.model.items import Item, ItemColumns, identifiers_of
from retrofill.model.payload import JSON, Payload

MAX_ITEMS = 10_000
"""The most items in a call: the largest batch that any live trigger sends."""

Headers = tuple[tuple[str, str], ...]

Parts = Callable[[Sequence[Item]], list[str]]
"""Writes items in ASCII: n parts for each. Joined, they are its record and a comma."""

_CHARACTER_BYTES = 18
"""Worst case bytes per character: a surrogate pair, JSON-escaped twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Writes the payloads of one run.

    This one writes JSON lists of keys::

        def quoted_key(item):
            return json_string(item.key)

        Encoder(parts=each(quoted_key), identifier_in_event=uuid_of, head="[", tail="]")
    """

    parts: Parts

    identifier_in_event: Callable[[Item], str]
    """Returns the name by which the function's response may refer to an item."""

    head: str = ""
    """The text before the records."""

    tail: str = ""
    """The text after the records."""

    content_type: str = JSON
    """The media type of a payload."""

    headers: Callable[[Item], Headers] | None = None
    """Writes the header fields of a payload of one item; None: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """An event format that functions know: its name, its properties and its encoding.

    An installed package adds one by an entry point::

        [project.entry-points."retrofill.events"]
        envelope = "my_package.envelope:SHAPE"
    """

    name: str
    """The value of ``event``."""

    words: str
    """Its text in the trigger form, in Markdown; shapes with the same text are listed together."""

    imitates: str
    """The route of its live events, in words."""

    encoder: Callable[[EventContext], Encoder]
    """Compiles it for one run; raises ConfigError if the context lacks what it needs."""

    found_by: str = "is not looked up"
    """Where AWS describes the live trigger, in words."""

    forms: frozenset[str] = frozenset()
    """The forms of items that can fill it; empty: all."""

    default_items: int = 1
    """How many items its live trigger sends per call by default."""

    max_items: int = MAX_ITEMS
    """The most items that one call can carry."""

    answers: tuple[Contract, ...] = (Contract.RETURN, Contract.BATCH_ITEM_FAILURES)
    """The contracts by which a response may be read; the first is that of the live trigger."""

    takes_arguments: bool = False
    """Whether it has a place for constants."""

    arguments_allowed: str = ""
    """Its own limit on constants, in words; empty: none."""

    needs_trigger: bool = False
    """Whether its events contain facts of the live trigger, so that this must be looked up."""

    imitation: Any = None
    """What its module knows of the live events that it imitates; None: it imitates none."""

    carried_by: frozenset[str] | None = None
    """The kinds of functions that can receive it; None: all."""

    exact: bool = False
    """Whether only its encoder knows the length of a record."""

    content: tuple[str, ...] = ()
    """The fields that each item's content, a JSON object, must have."""

    hints: Mapping[str, str] = field(default_factory=dict)
    """Explanations of errors that synthetic fields cause, by the names of the errors."""

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
            **{each.name: getattr(encoder, each.name) for each in fields(encoder)},
            name=self.name,
            max_items=self.max_items,
            longest_item=None if self.exact or self.content else context.form.longest,
            job=context.job,
            hints=self.hints,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledShape(Encoder):
    """An event shape, compiled for one run. The same item always becomes the same bytes."""

    name: str

    max_items: int
    """The most items that one call can carry."""

    longest_item: Item | None
    """An item with the longest non-text fields; None: records have any length."""

    job: str
    """The job's name."""

    hints: Mapping[str, str]
    """See :attr:`EventShape.hints`."""

    @property
    def overhead(self) -> int:
        """Bytes of a payload without its records and the separators between them."""
        return len(self.head) + len(self.tail)

    def longest(self, items: Sequence[Item]) -> int:
        """Return an upper bound of the bytes of each of these items' records.

        If contents have a longest form, no record need be written to find it.
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

        :raises ValueError: there are more items than the shape can carry, or none
        """
        if not 0 < len(items) <= self.max_items:
            message = f"{len(items)} items in a call of shape {self.name}:"
            raise ValueError(f"{message} 1 to {self.max_items} are possible")
        parts = self.parts(items)
        parts[0] = f"{self.head}{parts[0]}"
        parts[-1] = f"{parts[-1][: -len(SEPARATOR)]}{self.tail}"
        return "".join(parts).encode("ascii")

    def payload(self, items: Sequence[Item], failures: int = 0) -> Payload:
        """Return the payload of a call with these items.

        :param failures: how many times they had failed alone
        :raises ValueError: there are more items than the shape can carry, or none
        """
        headers = () if self.headers is None else self.headers(items[0])
        return Payload(
            self.body(items), self.content_type, headers, identifiers_of(items), failures, self.job
        )


def each(write: Callable[[Item], str]) -> Parts:
    """Return parts from a function that writes one item.

    >>> def in_quotes(item):
    ...     return f'"{item.key}"'
    >>> each(in_quotes)([Item(b"", "a"), Item(b"", "b")])
    ['"a",', '"b",']
    """
    return lambda items: [f"{write(item)}{SEPARATOR}" for item in items]


def listed(write: Callable[[Sequence[Item]], list[str]]) -> Parts:
    """Return parts from a function that writes many items.

    >>> def in_quotes(items):
    ...     return [f'"{item.key}"' for item in items]
    >>> listed(in_quotes)([Item(b"", "a")])
    ['"a",']
    """
    return lambda items: [f"{record}{SEPARATOR}" for record in write(items)]
