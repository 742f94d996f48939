"""The live trigger: a way on which new objects of a bucket reach a function by themselves."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

from retrofill.events.s3.configuration import Configuration

Rule: TypeAlias = tuple[Mapping[str, Any], ...]
"""The patterns of EventBridge that an event must match, from bus to bus, to come by a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrigger:
    """What the live trigger's events tell, and which of them it sends.

    It sends what one of the configurations, or of the rules, lets through, and then all the rest.
    """

    configurations: tuple[Configuration, ...] = ()
    """The bucket's notification configurations; none on a way by EventBridge."""

    rules: tuple[Rule, ...] = ()
    """The rules of EventBridge; none on a way by notification."""

    queue_arn: str = ""
    topic_arn: str = ""

    subscription_arn: str = ""
    """The topic's subscription that the messages come by; empty on a way that does not tell it."""

    filter_policy: Mapping[str, Any] = field(default_factory=dict)
    """The pattern that the topic's subscription has for the sender's event; empty: all pass."""

    patterns: tuple[Mapping[str, Any], ...] = ()
    """The filters of the queue's mapping, of which a message must match one; none: all pass."""

    qualifier: str = ""
    """The version or alias of the function that it calls; empty: it names none."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` wrote down."""
        told = {
            "configurations": map(Configuration.from_json, values.get("configurations", ())),
            "rules": map(tuple, values.get("rules", ())),
            "patterns": values.get("patterns", ()),
        }
        return cls(**{**values, **{name: tuple(each) for name, each in told.items()}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One way from the bucket to the function, as AWS has it configured."""

    event: str
    """The event shape that the function receives on this way, by its name."""

    way: str
    """The way in words, with the names of what lies on it."""

    live: LiveTrigger
    """What its events tell, and which it sends."""

    qualifier: str = ""
    """The version or alias of the function that is called; empty: none is named."""

    batch_items: int | None = None
    """The most messages that Lambda takes from the queue for one call; None: no queue."""

    reports_failures: bool = False
    """Whether Lambda reads ``batchItemFailures`` from the function's answers on this way."""

    unlike: str = ""
    """What changes the events on this way so that they cannot be imitated; empty: nothing."""
