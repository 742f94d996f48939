"""The delivery: how a run's items reach the function, and how its answers are read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


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

    trigger: Mapping[str, Any] = field(default_factory=dict)
    """What is told of the live trigger that is imitated, in its room's words; empty: none is."""

    def as_json(self) -> dict[str, Any]:
        """Return the delivery as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the delivery that :meth:`as_json` wrote down."""
        return cls(**values)
