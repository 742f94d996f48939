"""The delivery: how a run's items reach the function, and how its answers are read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

CONFIGURATION_ID = "retrofill"
"""The id of the notification configuration in events that imitate no live trigger."""


class Contract(StrEnum):
    """How the function's response is read."""

    RETURN = "return"
    """The response says nothing: every item succeeded, since the function returned."""

    BATCH_ITEM_FAILURES = "batchItemFailures"
    """The response lists the items that failed."""

    CHECKPOINT = "checkpoint"
    """The response lists records of a stream: the function got as far as the first of them."""

    S3_BATCH = "s3-batch"
    """The response gives a result for each task, as S3 Batch Operations want it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the calls of a run look like: asked for, or taken over from a live trigger."""

    event: str
    """The event shape, by its name."""

    items_per_call: int
    """The most items in one call."""

    answer: str
    """The answer contract, by its name."""

    configuration_id: str = CONFIGURATION_ID
    """The id of the bucket's notification configuration, where the events tell it."""

    queue_arn: str = ""
    """The queue that live events pass through; empty: none."""

    topic_arn: str = ""
    """The topic that live events pass through; empty: none."""

    subscription_arn: str = ""
    """The topic's subscription that live events tell; empty: none, or not known."""

    events: tuple[str, ...] = ()
    """The types of events of S3 that are sent, such as ``s3:ObjectCreated:Put``; empty: all."""

    prefix: str = ""
    """What the keys must begin with that the live trigger sends."""

    suffix: str = ""
    """What the keys must end with that the live trigger sends."""

    filter_policy: Mapping[str, Any] = field(default_factory=dict)
    """The pattern that a topic's subscription has for the notification; empty: all pass."""

    patterns: tuple[Mapping[str, Any], ...] = ()
    """Patterns of EventBridge, of which a live event must match one; empty: all events pass."""

    def as_json(self) -> dict[str, Any]:
        """Return the delivery as plain JSON values."""
        return {**asdict(self), "patterns": [dict(pattern) for pattern in self.patterns]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the delivery that :meth:`as_json` wrote down."""
        lists = {name: tuple(values.get(name, ())) for name in ("events", "patterns")}
        return cls(**{**values, **lists})
