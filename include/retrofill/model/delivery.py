"""The delivery: how a run's items reach the function, and how to read its responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from retrofill.model.stored import Stored


class Contract(StrEnum):
    """How to read the function's response."""

    RETURN = "return"
    """Any response means that every item succeeded."""

    BATCH_ITEM_FAILURES = "batchItemFailures"
    """The response lists the items that failed."""

    CHECKPOINT = "checkpoint"
    """The response lists failed records of a stream: all records before the first succeeded."""

    S3_BATCH = "s3-batch"
    """The response has a result for each task, in the format of S3 Batch Operations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Stored):
    """How the calls of a run look, as requested or as taken from a live trigger."""

    event: str
    """The name of the event shape."""

    items_per_call: int
    """The most items in one call."""

    answer: str
    """The name of the answer contract."""

    trigger: Mapping[str, Any] = field(default_factory=dict)
    """The live trigger that is imitated, as its module describes it; empty: none."""
