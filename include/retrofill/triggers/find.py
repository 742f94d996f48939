"""The live triggers of a function on a bucket: every way on which new objects reach it.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html,
https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html,
https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html and
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRuleNamesByTarget.html.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from retrofill.aws.arn import Arn, bucket_arn
from retrofill.aws.names import LAMBDA
from retrofill.aws.refusals import Refusal, explained
from retrofill.events import SHAPES, EventShape, names_in_words, need_no_trigger
from retrofill.events.s3.imitation import Imitation, Way
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.triggers.patterns import compile_pattern
from retrofill.triggers.trigger import LiveTrigger, Trigger

_CREATED = ("s3:ObjectCreated:", "s3:*")
_REPORTS = "ReportBatchItemFailures"
_ALL: Mapping[str, Any] = {}
BY_WAY: Mapping[Way, EventShape] = {
    way: shape
    for shape in SHAPES.values()
    if isinstance(shape.imitation, Imitation)
    for way in shape.imitation.ways
}
"""What live triggers send, by the way that it takes."""


class Found(NamedTuple):
    """What there is between a bucket and a function."""

    triggers: list[Trigger]
    others: list[str]
    """What calls the function besides, or leads elsewhere, in words."""


class _Mapping(NamedTuple):
    """An event source mapping of the function on a queue."""

    queue_arn: str
    qualifier: str
    batch_items: int
    reports_failures: bool
    patterns: tuple[Mapping[str, Any], ...]
    way: str
    unlike: str


def find_triggers(
    client: Callable[[str], Any], bucket: str, function_arn: str, qualifier: str = ""
) -> Found:
    """Find every way on which new objects of a bucket reach a function.

    :param client: returns a boto3 client by its service's name
    :param qualifier: the version or alias that was asked for; empty: none
    :raises ConfigError: a permission is missing; the message names it
    :raises FunctionUnavailable: AWS gave no answer; another try may get one
    """
    return _Search(client, bucket, Arn.parse(function_arn), qualifier).found()


class _Search:
    def __init__(
        self, client: Callable[[str], Any], bucket: str, function: Arn, qualifier: str
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._function = function
        self._qualifier = qualifier
        self._others: list[str] = []

    def found(self) -> Found:
        with _explained("s3:GetBucketNotification"):
            configured = self._client("s3").get_bucket_notification_configuration(
                Bucket=self._bucket
            )
        triggers = [
            *self._direct(configured.get("LambdaFunctionConfigurations", [])),
            *self._through_queues(configured.get("QueueConfigurations", [])),
            *self._through_topics(configured.get("TopicConfigurations", [])),
        ]
        if "EventBridgeConfiguration" in configured:
            triggers += self._through_rules()
        return Found(triggers, self._others)

    def _direct(self, configurations: Sequence[Mapping[str, Any]]) -> Iterator[Trigger]:
        for one in configurations:
            arn = one["LambdaFunctionArn"]
            if not self._is_ours(arn):
                self._others.append(f"notification {one.get('Id', '')} to {arn}")
            elif self._sends_created(one, "the function"):
                yield Trigger(
                    event=BY_WAY[Way.DIRECT].name,
                    way=f"bucket notification {one.get('Id', '')} to {arn}{_filter_words(one)}",
                    qualifier=_qualifier(arn),
                    live=LiveTrigger(**_notified(one)),
                )

    def _through_queues(self, configurations: Sequence[Mapping[str, Any]]) -> Iterator[Trigger]:
        for one in configurations:
            arn = one["QueueArn"]
            ours = self._mappings_of(arn)
            if not ours:
                self._others.append(f"notification {one.get('Id', '')} to {arn}")
            elif self._sends_created(one, arn):
                for mapping in ours:
                    yield _queued(Way.QUEUE, one, mapping, f"to {arn}, {mapping.way}")

    def _through_topics(self, configurations: Sequence[Mapping[str, Any]]) -> Iterator[Trigger]:
        for one in configurations:
            topic = one["TopicArn"]
            found = [*self._subscriptions(topic, one)]
            if not found:
                self._others.append(f"notification {one.get('Id', '')} to {topic}")
            elif self._sends_created(one, topic):
                yield from found

    def _subscriptions(self, topic: str, configuration: Mapping[str, Any]) -> Iterator[Trigger]:
        with _explained("sns:ListSubscriptionsByTopic"):
            pages = self._client("sns").get_paginator("list_subscriptions_by_topic")
            listed = [
                subscription
                for page in pages.paginate(TopicArn=topic)
                for subscription in page["Subscriptions"]
            ]
        for subscription in listed:
            endpoint, arn = subscription["Endpoint"], subscription["SubscriptionArn"]
            if Arn.find(arn) is None:  # PendingConfirmation: nothing is sent by it
                continue
            calls = subscription["Protocol"] == "lambda" and self._is_ours(endpoint)
            feeds = self._mappings_of(endpoint) if subscription["Protocol"] == "sqs" else []
            if not (calls or feeds):
                continue
            attributes = self._attributes(arn)
            policy = _policy_for_s3(attributes)
            if policy is None:
                self._others.append(
                    f"subscription {arn}, whose filter policy wants attributes; S3 sends none"
                )
            elif calls:
                yield Trigger(
                    event=BY_WAY[Way.TOPIC].name,
                    way=f"bucket notification {configuration.get('Id', '')} to {topic}, and its"
                    f" subscription {arn}{_filter_words(configuration)}",
                    qualifier=_qualifier(endpoint),
                    live=LiveTrigger(
                        topic_arn=topic,
                        subscription_arn=arn,
                        filter_policy=policy,
                        **_notified(configuration),
                    ),
                )
            else:
                raw = attributes.get("RawMessageDelivery") == "true"
                for mapping in feeds:
                    yield _queued(
                        Way.RAW_TOPIC_AND_QUEUE if raw else Way.TOPIC_AND_QUEUE,
                        configuration,
                        mapping,
                        f"to {topic}, its subscription {arn}, {mapping.way}",
                        topic_arn="" if raw else topic,
                        subscription_arn="" if raw else arn,
                        filter_policy=policy,
                    )

    def _attributes(self, subscription_arn: str) -> Mapping[str, str]:
        with _explained("sns:GetSubscriptionAttributes"):
            answer = self._client("sns").get_subscription_attributes(
                SubscriptionArn=subscription_arn
            )
        attributes: Mapping[str, str] = answer["Attributes"]
        return attributes

    def _through_rules(self) -> Iterator[Trigger]:
        events = self._client("events")
        for target in self._names:
            with _explained("events:ListRuleNamesByTarget"):
                pages = events.get_paginator("list_rule_names_by_target")
                names = [
                    name for page in pages.paginate(TargetArn=target) for name in page["RuleNames"]
                ]
            for name in names:
                with _explained("events:DescribeRule"):
                    rule = events.describe_rule(Name=name)
                if not rule.get("EventPattern"):
                    self._others.append(f"EventBridge rule {name}, on a schedule")
                    continue
                pattern = json.loads(rule["EventPattern"])
                may_pass = compile_pattern(pattern, missing_passes=True)
                if not may_pass(self._created_event()):
                    self._others.append(f"EventBridge rule {name}, for other events")
                    continue
                yield Trigger(
                    event=BY_WAY[Way.RULE].name,
                    way=f"EventBridge rule {name} ({rule.get('State', 'ENABLED').lower()})",
                    qualifier=_qualifier(target),
                    live=LiveTrigger(patterns=(pattern,)),
                    unlike=self._transformed(name, target),
                )

    def _transformed(self, rule: str, target_arn: str) -> str:
        with _explained("events:ListTargetsByRule"):
            pages = self._client("events").get_paginator("list_targets_by_rule")
            targets = [
                target
                for page in pages.paginate(Rule=rule)
                for target in page["Targets"]
                if target["Arn"] == target_arn
            ]
        changes = {"Input", "InputPath", "InputTransformer"}
        found = sorted(changes.intersection(*targets[:1]))
        return f"its target has {found[0]}, which makes another event of it" if found else ""

    def _created_event(self) -> Mapping[str, Any]:
        """Return what all events of objects that are put into the bucket have in common."""
        arn = self._function
        return {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "region": arn.region,
            "account": arn.account,
            "resources": [bucket_arn(self._bucket, arn.partition)],
            "detail": {"bucket": {"name": self._bucket}},
        }

    def _mappings_of(self, queue_arn: str) -> list[_Mapping]:
        return [mapping for mapping in self._mappings if mapping.queue_arn == queue_arn]

    @cached_property
    def _mappings(self) -> list[_Mapping]:
        """The function's mappings on queues; a way without a queue needs no right to list them."""
        found: dict[str, Mapping[str, Any]] = {}
        for name in self._names:
            with _explained("lambda:ListEventSourceMappings"):
                pages = self._client("lambda").get_paginator("list_event_source_mappings")
                for page in pages.paginate(FunctionName=name):
                    found |= {one["UUID"]: one for one in page["EventSourceMappings"]}
        mappings = []
        for one in found.values():
            source = one.get("EventSourceArn", "")
            arn = Arn.find(source)
            if arn is None or arn.service != "sqs":
                self._others.append(f"mapping {one['UUID']} from {source or 'a source of its own'}")
                continue
            filters = one.get("FilterCriteria", {}).get("Filters", [])
            mappings.append(
                _Mapping(
                    queue_arn=source,
                    qualifier=_qualifier(one["FunctionArn"]),
                    batch_items=one.get("BatchSize", 10),
                    reports_failures=_REPORTS in one.get("FunctionResponseTypes", []),
                    patterns=tuple(json.loads(each["Pattern"]) for each in filters),
                    way=f"and mapping {one['UUID']} ({one.get('State', 'Enabled').lower()})",
                    unlike=_unreadable(one),
                )
            )
        return mappings

    @cached_property
    def _names(self) -> list[str]:
        """The ARNs of the function by which it may be named: plain, its aliases, what was asked."""
        arn = str(self._function)
        with _explained("lambda:ListAliases"):
            pages = self._client("lambda").get_paginator("list_aliases")
            aliases = [
                alias["AliasArn"]
                for page in pages.paginate(FunctionName=arn)
                for alias in page["Aliases"]
            ]
        asked = [f"{arn}:{self._qualifier}"] if self._qualifier else []
        return list(dict.fromkeys([arn, *aliases, *asked]))

    def _is_ours(self, arn: str) -> bool:
        found = Arn.find(arn)
        return found is not None and found.unqualified == self._function

    def _sends_created(self, configuration: Mapping[str, Any], to: str) -> bool:
        created = any(event.startswith(_CREATED) for event in configuration["Events"])
        if not created:
            events = ", ".join(configuration["Events"])
            self._others.append(f"notification {configuration.get('Id', '')} to {to} of {events}")
        return created


def _queued(
    kind: Way,
    configuration: Mapping[str, Any],
    mapping: _Mapping,
    way: str,
    *,
    topic_arn: str = "",
    subscription_arn: str = "",
    filter_policy: Mapping[str, Any] = _ALL,
) -> Trigger:
    return Trigger(
        event=BY_WAY[kind].name,
        way=f"bucket notification {configuration.get('Id', '')} {way}"
        f"{_filter_words(configuration)}",
        qualifier=mapping.qualifier,
        live=LiveTrigger(
            queue_arn=mapping.queue_arn,
            topic_arn=topic_arn,
            subscription_arn=subscription_arn,
            filter_policy=filter_policy,
            patterns=mapping.patterns,
            **_notified(configuration),
        ),
        batch_items=mapping.batch_items,
        reports_failures=mapping.reports_failures,
        unlike=mapping.unlike,
    )


def _notified(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a notification configuration says of events: its id, prefix and suffix."""
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    # S3 wants special characters in these values encoded as in a URL.
    values = {rule["Name"].lower(): unquote_plus(rule["Value"]) for rule in rules}
    return {
        "configuration_id": configuration.get("Id", ""),
        "events": tuple(configuration["Events"]),
        "prefix": values.get("prefix", ""),
        "suffix": values.get("suffix", ""),
    }


def _filter_words(configuration: Mapping[str, Any]) -> str:
    notified = _notified(configuration)
    words = [f"{name} {notified[name]!r}" for name in ("prefix", "suffix") if notified[name]]
    return f" (keys with {' and '.join(words)})" if words else ""


def _policy_for_s3(attributes: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return what a subscription wants of the notification's JSON; None: it lets nothing through.

    A policy is on a message's attributes unless told otherwise, and S3 sends none.
    """
    policy: Mapping[str, Any] = json.loads(attributes.get("FilterPolicy") or "{}")
    if attributes.get("FilterPolicyScope") == "MessageBody":
        return policy
    return _ALL if compile_pattern(policy)({}) else None


def _unreadable(mapping: Mapping[str, Any]) -> str:
    """Return why a mapping's filter is not told: it may be encrypted by a key of its own."""
    error = mapping.get("FilterCriteriaError")
    return f"the filter of its mapping may not be read ({error['ErrorCode']})" if error else ""


def _qualifier(arn: str) -> str:
    return Arn.parse(arn).qualifier


def _explained(permission: str) -> AbstractContextManager[None]:
    """Say what an error of botocore means for the person who runs the backfill."""

    def refused(error: Exception, refusal: Refusal) -> ConfigError:
        if refusal is Refusal.DENIED:
            return ConfigError(
                f"event: to find the live trigger, the credentials of aws_conn_id need"
                f" {permission} ({error}); grant it, or say what the function receives:"
                f" {names_in_words(need_no_trigger(LAMBDA))} need no look-up"
            )
        return ConfigError(f"event: the live trigger could not be looked up ({error})")

    return explained(
        refused,
        lambda error: FunctionUnavailable(f"the live trigger could not be looked up: {error}"),
    )
