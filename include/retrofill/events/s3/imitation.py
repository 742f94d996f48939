"""The routes by which S3's events reach a function, and what each shape knows of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from retrofill.events.context import EventContext
from retrofill.events.shape import Parts
from retrofill.events.template import records_of
from retrofill.model.items import Item

Writer = Callable[[Sequence[Item]], list[str]]
"""Writes a text for each item."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sender:
    """The sender of a bucket's events, and what its events contain."""

    parts: Callable[[EventContext], Parts]
    """Compiles, for one run, what writes the parts of its records."""

    head: str = ""
    """The text before a record in an event."""

    tail: str = ""
    """The text after it."""

    subject: str = ""
    """The subject under which a topic publishes an event; empty: none."""

    key_path: tuple[str, ...]
    """The path to the key inside an event."""

    spell: Callable[[str], str] = str
    """Returns a key as it is encoded there."""

    synthetic: frozenset[str]
    """Fields of live events that a listing does not have: ours are synthetic."""

    uploads: Mapping[str, tuple[str, ...]]
    """By field, the values that name a single-part upload; our events have the first."""

    def texts(self, context: EventContext) -> Writer:
        """Return the function that writes each item's event as it is sent."""
        parts, head, tail = self.parts(context), self.head, self.tail
        return lambda items: [
            f"{head}{record}{tail}" for record in records_of(parts(items), len(items))
        ]


class Relay(Enum):
    """What lies between the sender and the function."""

    NONE = auto()
    """Nothing: the sender calls the function."""

    QUEUE = auto()
    """A queue, from which Lambda takes the messages."""

    TOPIC = auto()
    """A topic, which calls the function."""

    TOPIC_AND_QUEUE = auto()
    """A topic, then a queue that gets its messages in an envelope."""

    RAW_TOPIC_AND_QUEUE = auto()
    """A topic, then a queue that gets them without one (raw message delivery)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """What a shape knows of the live events that it imitates."""

    sender: Sender

    relays: tuple[Relay, ...] = (Relay.NONE,)
    """The possible relays of its live triggers. Its events look the same after each of them."""

    event_path: tuple[str, ...] = ()
    """The path to the sender's event inside a record; texts on it are JSON. Empty: the record."""

    synthetic_in_envelope: frozenset[str] = frozenset()
    """Further synthetic fields around the sender's event for which a filter may ask."""
