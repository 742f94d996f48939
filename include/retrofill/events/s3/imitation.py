"""The ways on which S3's events reach a function, and what each shape knows of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from retrofill.events.context import EventContext
from retrofill.model.items import Item

Writer = Callable[[Sequence[Item]], list[str]]
"""Writes a text for each item."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sender:
    """What sends the events of a bucket, and what its events tell."""

    texts: Callable[[EventContext], Writer]
    """Compiles, for one run, what writes the event of each item as it is sent."""

    subject: str = ""
    """What a topic is told beside an event; empty: nothing."""

    key_path: tuple[str, ...]
    """Where in an event the key is."""

    spell: Callable[[str], str] = str
    """Returns a key as it stands there."""

    made_up: frozenset[str]
    """The fields that live events tell and a listing does not: they are made up."""

    uploads: Mapping[str, tuple[str, ...]]
    """How an object may have come whole, in each field that tells it: we write the first way."""


class Relay(Enum):
    """What lies on the way from the sender to the function."""

    NONE = auto()
    """Nothing: the sender calls the function."""

    QUEUE = auto()
    """A queue, from which Lambda takes the messages."""

    TOPIC = auto()
    """A topic, which calls the function."""

    TOPIC_AND_QUEUE = auto()
    """A topic, and behind it a queue that gets its messages in an envelope."""

    RAW_TOPIC_AND_QUEUE = auto()
    """A topic, and behind it a queue that gets them without one (raw message delivery)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """What a shape knows of the live events that it imitates."""

    sender: Sender

    relays: tuple[Relay, ...] = (Relay.NONE,)
    """What may lie on the way of its live triggers: behind all of these it is the same."""

    event_path: tuple[str, ...] = ()
    """Where in a record the sender's event is, as the text of a text of ...; empty: it is all."""

    envelope_made_up: frozenset[str] = frozenset()
    """The fields around the sender's event that are made up, too, and that a filter may ask for."""
