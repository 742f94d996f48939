"""The live trigger: a route by which new objects of a bucket reach a function."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

from retrofill.events.s3.configuration import Configuration

Rule: TypeAlias = tuple[Mapping[str, Any], ...]
"""The patterns of EventBridge, from bus to bus, that an event must match to pass a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrigger:
    """What the live trigger's events contain, and which of them it sends.

    An event must pass one of the configurations or rules, and then all other filters.
    """

    configurations: tuple[Configuration, ...] = ()
    """The bucket's notification configurations; empty for a route via EventBridge."""

    rules: tuple[Rule, ...] = ()
    """The rules of EventBridge; empty for a route via notification."""

    queue_arn: str = ""
    topic_arn: str = ""

    subscription_arn: str = ""
    """The topic's subscription that delivers the messages; empty if events do not contain it."""

    filter_policy: Mapping[str, Any] = field(default_factory=dict)
    """The pattern of the topic's subscription for the sender's event; empty: all pass."""

    patterns: tuple[Mapping[str, Any], ...] = ()
    """The filters of the queue's mapping, one of which a message must match; empty: all pass."""

    qualifier: str = ""
    """The version or alias of the function that it calls; empty: none is named."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the live trigger from the output of :meth:`as_json`."""
        plain = {
            "configurations": map(Configuration.from_json, values.get("configurations", ())),
            "rules": map(tuple, values.get("rules", ())),
            "patterns": values.get("patterns", ()),
        }
        return cls(**{**values, **{name: tuple(each) for name, each in plain.items()}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One route from the bucket to the function, as configured in AWS."""

    event: str
    """The name of the event shape that the function receives on this route."""

    way: str
    """The route in words, with the names of what lies on it."""

    live: LiveTrigger
    """What its events contain, and which it sends."""

    qualifier: str = ""
    """The version or alias of the function that is called; empty: none is named."""

    batch_items: int | None = None
    """The most messages that Lambda takes from the queue for one call; None: no queue."""

    reports_failures: bool = False
    """Whether Lambda reads ``batchItemFailures`` from the function's responses on this route."""

    unlike: str = ""
    """What changes the events on this route so that they cannot be imitated; empty: nothing."""
