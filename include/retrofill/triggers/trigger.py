"""The live trigger: a route on which new objects of a bucket reach a function."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

from retrofill.events.s3.configuration import Configuration

Rule: TypeAlias = tuple[Mapping[str, Any], ...]
"""EventBridge patterns, from bus to bus, that an event must all match to pass a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrigger:
    """The facts in a live trigger's events, and its filters.

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

    route: str
    """The route in words, with the names of everything on it."""

    live: LiveTrigger
    """The facts in its events, and its filters."""

    qualifier: str = ""
    """The version or alias of the function that is called; empty: none is named."""

    batch_items: int | None = None
    """The most messages that Lambda takes from the queue for one call; None: no queue."""

    reports_failures: bool = False
    """Whether Lambda reads ``batchItemFailures`` from the function's responses on this route."""

    obstacle: str = ""
    """Why the events on this route cannot be imitated; empty: they can."""
