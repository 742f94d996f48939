"""The ways on which S3's events reach a function, and what each shape knows of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Way(Enum):
    """A way on which events get from a bucket to its function."""

    DIRECT = auto()
    """S3 calls the function."""

    QUEUE = auto()
    """S3 sends to a queue, from which Lambda takes them."""

    TOPIC = auto()
    """S3 sends to a topic, which calls the function."""

    TOPIC_AND_QUEUE = auto()
    """S3 sends to a topic, and that to a queue, in an envelope."""

    RAW_TOPIC_AND_QUEUE = auto()
    """S3 sends to a topic, and that to a queue, without an envelope (raw message delivery)."""

    RULE = auto()
    """S3 sends to EventBridge, where a rule has the function as its target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """What a shape knows of the live events that it imitates."""

    ways: tuple[Way, ...]
    """The ways on which live triggers send it."""

    notification_path: tuple[str, ...] = ()
    """Where in a record the notification of S3 is, as the text of a text of ...; empty: nowhere."""

    made_up: frozenset[str]
    """The fields that live events tell and a listing does not: they are made up."""

    uploads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """How an object may have come whole, in each field that tells it: we write the first way."""
