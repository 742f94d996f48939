"""Follow a target of events: every path by which they continue to the function.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html,
https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html and
https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_ListPipes.html.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from retrofill.aws.arn import Arn
from retrofill.events.s3.imitation import Relay
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.triggers.asking import asking_for, list_all
from retrofill.triggers.patterns import compile_pattern
from retrofill.triggers.trigger import LiveTrigger

_REPORTS = "ReportBatchItemFailures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path from a target to the function; see :class:`.trigger.Trigger`."""

    relay: Relay
    route: str
    """The path in words, as the end of a sentence."""

    qualifier: str
    live: LiveTrigger
    batch_items: int | None = None
    reports_failures: bool = False
    obstacle: str = ""


class Follower:
    """Follows events from their targets.

    :param client: returns a boto3 client by its service's name
    :param function: its ARN, without a qualifier
    :param others: collects targets that do not lead to the function, in words
    """

    def __init__(self, client: Callable[[str], Any], function: Arn, others: list[str]) -> None:
        self._client = client
        self._function = function
        self._others = others
        self.paths = cache(self._paths)

    def _paths(self, target: str) -> list[Path]:
        """Return every path from a target of events to the function.

        :raises ConfigError: a permission is missing; the message names it
        :raises FunctionUnavailable: AWS did not answer
        """
        arn = Arn.find(target)
        if arn is not None and arn.unqualified == self._function:
            qualifier = arn.qualifier
            return [
                Path(
                    relay=Relay.NONE, route=f"to {target}", qualifier=qualifier, live=LiveTrigger()
                )
            ]
        match arn and arn.service:
            case "sqs":
                return list(self._from_queue(target))
            case "sns":
                return list(self._from_topic(target))
        return []

    def _from_queue(self, queue: str) -> Iterator[Path]:
        client = self._client("lambda")
        ours = [
            (one, arn)
            for one in list_all(client, "list_event_source_mappings", EventSourceArn=queue)
            if (arn := Arn.parse(one["FunctionArn"])).unqualified == self._function
        ]
        for one, arn in ours:
            state = one.get("State", "Enabled").lower()
            filters = one.get("FilterCriteria", {}).get("Filters", [])
            yield Path(
                relay=Relay.QUEUE,
                route=f"to {queue} and its mapping {one['UUID']} ({state})",
                qualifier=arn.qualifier,
                live=LiveTrigger(
                    queue_arn=queue,
                    patterns=tuple(json.loads(each["Pattern"]) for each in filters),
                ),
                batch_items=one.get("BatchSize", 10),
                reports_failures=_REPORTS in one.get("FunctionResponseTypes", []),
                obstacle=_obstacle_of(queue, one),
            )
        if not ours:
            self._others += self._pipes_from(queue)

    def _pipes_from(self, queue: str) -> list[str]:
        """Return the pipes that read a queue, in words. They send events of their own."""
        try:
            pipes = list_all(self._client("pipes"), "list_pipes", SourcePrefix=queue)
        except (ConfigError, FunctionUnavailable) as error:
            return [f"{queue}, which a pipe may read; that is not known ({error})"]
        return [
            f"pipe {one['Name']} from {queue} to {one['Target']}"
            for one in pipes
            if one["Source"] == queue
        ]

    def _from_topic(self, topic: str) -> Iterator[Path]:
        client = self._client("sns")
        for one in list_all(client, "list_subscriptions_by_topic", TopicArn=topic):
            arn = one["SubscriptionArn"]
            if Arn.find(arn) is None:  # PendingConfirmation: it sends nothing
                continue
            behind = self.paths(one["Endpoint"]) if one["Protocol"] in {"lambda", "sqs"} else []
            if not behind:
                continue
            with asking_for("sns:GetSubscriptionAttributes"):
                answer = client.get_subscription_attributes(SubscriptionArn=arn)
            policy = _policy(answer["Attributes"])
            if policy is None:
                self._others.append(
                    f"subscription {arn}, whose filter policy needs attributes, which these"
                    " messages lack"
                )
                continue
            raw = answer["Attributes"].get("RawMessageDelivery") == "true"
            for path in behind:
                relay = _after_topic(path.relay, raw=raw)
                envelope = relay is not Relay.RAW_TOPIC_AND_QUEUE
                names = {"topic_arn": topic, "subscription_arn": arn} if envelope else {}
                yield replace(
                    path,
                    relay=relay,
                    route=f"to {topic} by its subscription {arn}, {path.route}",
                    live=replace(path.live, filter_policy=policy, **names),
                )


def _after_topic(relay: Relay, *, raw: bool) -> Relay:
    if relay is Relay.NONE:
        return Relay.TOPIC
    return Relay.RAW_TOPIC_AND_QUEUE if raw else Relay.TOPIC_AND_QUEUE


def _policy(attributes: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return a subscription's pattern for the JSON of messages; None: it lets nothing through.

    By default, a policy is for a message's attributes, and senders of events set none.
    """
    policy: Mapping[str, Any] = json.loads(attributes.get("FilterPolicy") or "{}")
    if attributes.get("FilterPolicyScope") == "MessageBody":
        return policy
    return {} if compile_pattern(policy)({}) else None


def _obstacle_of(queue: str, mapping: Mapping[str, Any]) -> str:
    """Return why the events of a mapping cannot be imitated; empty: they can."""
    # A filter may be encrypted by a key of its own.
    if error := mapping.get("FilterCriteriaError"):
        return f"the filter of its mapping cannot be read ({error['ErrorCode']})"
    if queue.endswith(".fifo"):
        return "its queue is a FIFO queue, whose messages contain their group and sequence number"
    return ""
