"""The live trigger: a way on which new objects of a bucket reach a function by themselves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrigger:
    """What the live trigger's events tell, and which of them it sends."""

    configuration_id: str = ""
    """The id of the bucket's notification configuration; empty on a way without one."""

    queue_arn: str = ""
    topic_arn: str = ""

    subscription_arn: str = ""
    """The topic's subscription that the messages come by; empty on a way that does not tell it."""

    events: tuple[str, ...] = ()
    """The types of events of S3 that are sent, such as ``s3:ObjectCreated:Put``; empty: all."""

    prefix: str = ""
    """What the keys must begin with."""

    suffix: str = ""
    """What the keys must end with."""

    filter_policy: Mapping[str, Any] = field(default_factory=dict)
    """The pattern that the topic's subscription has for the notification; empty: all pass."""

    patterns: tuple[Mapping[str, Any], ...] = ()
    """Patterns of EventBridge, of which an event must match one; empty: all events pass."""

    qualifier: str = ""
    """The version or alias of the function that it calls; empty: it names none."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "events": list(self.events), "patterns": list(self.patterns)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` wrote down."""
        lists = {name: tuple(values.get(name, ())) for name in ("events", "patterns")}
        return cls(**{**values, **lists})


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
