"""Find the live triggers of a function on a bucket: every route on which new objects reach it.

A trigger is a route with all filters that an object must pass on it.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html,
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRules.html and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-bus-to-bus.html.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from retrofill.aws.arn import Arn, bucket_arn
from retrofill.events import SHAPES, EventShape
from retrofill.events.s3.configuration import Configuration
from retrofill.events.s3.eventbridge import RULE
from retrofill.events.s3.imitation import Imitation, Relay, Sender
from retrofill.events.s3.notification import NOTIFICATION
from retrofill.model.errors import ConfigError
from retrofill.triggers.asking import asking_for, list_all
from retrofill.triggers.follow import Follower
from retrofill.triggers.patterns import compile_pattern
from retrofill.triggers.trigger import Rule, Trigger

_CREATED = ("s3:ObjectCreated:", "s3:*")
_DEFAULT_BUS = "default"
_BUS = "event-bus/"
_CHANGES = frozenset({"Input", "InputPath", "InputTransformer"})
BY_ROUTE: Mapping[tuple[Sender, Relay], EventShape] = {
    (shape.imitation.sender, relay): shape
    for shape in SHAPES.values()
    if isinstance(shape.imitation, Imitation)
    for relay in shape.imitation.relays
}
"""The shapes of live triggers, by sender and relay."""


class Found(NamedTuple):
    """The routes from a bucket to a function, and other targets."""

    triggers: list[Trigger]
    others: list[str]
    """Other targets of the bucket's events, in words."""


class _Sent(NamedTuple):
    """A filter by which a sender sends events of new objects to a target."""

    sender: Sender
    target: str
    obstacle: str
    """Why the events cannot be imitated; empty: they can."""

    words: str
    configuration: Configuration | None = None
    rule: Rule = ()


def find_triggers(client: Callable[[str], Any], bucket: str, function_arn: str) -> Found:
    """Find every route on which new objects of a bucket reach a function, for any qualifier.

    :param client: returns a boto3 client by its service's name
    :raises ConfigError: a permission is missing; the message names it
    :raises FunctionUnavailable: AWS did not answer; a retry may succeed
    """
    return _Search(client, bucket, Arn.parse(function_arn)).found()


class _Search:
    def __init__(self, client: Callable[[str], Any], bucket: str, function: Arn) -> None:
        self._client = client
        self._bucket = bucket
        self._function = function
        self._others: list[str] = []
        self._follower = Follower(client, function, self._others)

    def found(self) -> Found:
        with asking_for("s3:GetBucketNotification"):
            configured = self._client("s3").get_bucket_notification_configuration(
                Bucket=self._bucket
            )
        sent = list(self._notified(configured))
        if "EventBridgeConfiguration" in configured:
            sent += self._ruled((_DEFAULT_BUS,))
        alike: dict[tuple[Sender, str, str], list[_Sent]] = {}
        for one in sent:
            alike.setdefault((one.sender, one.target, one.obstacle), []).append(one)
        triggers = [trigger for same in alike.values() for trigger in self._triggers(same)]
        return Found(triggers, self._others)

    def _triggers(self, sent: list[_Sent]) -> Iterator[Trigger]:
        """Yield the triggers on which events go to one target first."""
        sender, target, obstacle, *_ = sent[0]
        words = " and ".join(one.words for one in sent)
        paths = self._follower.paths(target)
        if not paths:
            self._others.append(f"{words} to {target}")
        for path in paths:
            yield Trigger(
                event=BY_ROUTE[sender, path.relay].name,
                route=f"{words} {path.route}",
                qualifier=path.qualifier,
                live=replace(
                    path.live,
                    configurations=tuple(one.configuration for one in sent if one.configuration),
                    rules=tuple(one.rule for one in sent if one.rule),
                ),
                batch_items=path.batch_items,
                reports_failures=path.reports_failures,
                obstacle=obstacle or path.obstacle,
            )

    def _notified(self, configured: Mapping[str, Any]) -> Iterator[_Sent]:
        """Yield the notification configurations that send events of new objects."""
        for kind, target in (
            ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
            ("QueueConfigurations", "QueueArn"),
            ("TopicConfigurations", "TopicArn"),
        ):
            for one in configured.get(kind, []):
                configuration = _configuration(one)
                words = f"bucket notification {configuration.id}{_filter_words(configuration)}"
                if any(event.startswith(_CREATED) for event in configuration.events):
                    yield _Sent(NOTIFICATION, one[target], "", words, configuration)
                else:
                    events = ", ".join(configuration.events)
                    self._others.append(f"{words} of {events}, to {one[target]}")

    def _ruled(self, buses: tuple[str, ...], before: Rule = (), way: str = "") -> Iterator[_Sent]:
        """Yield the rules of a bus, and of the buses it sends to, that send events of new objects.

        Rules for other events and rules on a schedule are skipped.

        :param buses: the bus, after those on the way to it
        :param before: the patterns that an event has matched on the way
        :param way: their rules, in words
        """
        events, bus = self._client("events"), buses[-1]
        for one in list_all(events, "list_rules", EventBusName=bus):
            pattern = json.loads(one.get("EventPattern") or "null")
            if pattern is None or not self._may_send(pattern):
                continue
            name = one["Name"]
            words = f"{way}EventBridge rule {name} ({one.get('State', 'ENABLED').lower()})"
            for target in list_all(events, "list_targets_by_rule", Rule=name, EventBusName=bus):
                behind = self._bus_in(target["Arn"])
                if behind and behind not in buses:
                    on = f"{words} to bus {behind} and its "
                    yield from self._ruled((*buses, behind), (*before, pattern), on)
                else:
                    obstacle = _obstacle_of(target)
                    yield _Sent(RULE, target["Arn"], obstacle, words, rule=(*before, pattern))

    def _may_send(self, pattern: Mapping[str, Any]) -> bool:
        """Return whether a rule's pattern may let through the event of a new object.

        True for a pattern that is not understood: imitating it raises the error.
        """
        try:
            return compile_pattern(pattern, missing_passes=True)(self._created_event())
        except ConfigError:
            return True

    def _created_event(self) -> Mapping[str, Any]:
        """Return the fields that the events of all new objects share."""
        arn = self._function
        return {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "region": arn.region,
            "account": arn.account,
            "resources": [bucket_arn(self._bucket, arn.partition)],
            "detail": {"bucket": {"name": self._bucket}},
        }

    def _bus_in(self, target: str) -> str:
        """Return the name of the bus that a target is, if it can be queried; else empty."""
        arn, here = Arn.parse(target), self._function
        asked = (arn.service, arn.region, arn.account) == ("events", here.region, here.account)
        return arn.resource.removeprefix(_BUS) if asked and arn.resource.startswith(_BUS) else ""


def _obstacle_of(target: Mapping[str, Any]) -> str:
    found = sorted(_CHANGES.intersection(target))
    return f"its target has {found[0]}, which changes the event" if found else ""


def _configuration(configured: Mapping[str, Any]) -> Configuration:
    rules = configured.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    # S3 wants special characters in these values encoded as in a URL.
    values = {rule["Name"].lower(): unquote_plus(rule["Value"]) for rule in rules}
    return Configuration(
        id=configured.get("Id", ""),
        events=tuple(configured["Events"]),
        prefix=values.get("prefix", ""),
        suffix=values.get("suffix", ""),
    )


def _filter_words(configuration: Configuration) -> str:
    filters = {"prefix": configuration.prefix, "suffix": configuration.suffix}
    words = [f"{name} {text!r}" for name, text in filters.items() if text]
    return f" (keys with {' and '.join(words)})" if words else ""
