"""Live triggers, as the APIs of S3, Lambda, SNS and EventBridge tell them."""

import io
import json
import zipfile
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from retrofill.aws.arn import Arn
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.triggers.find import Found, find_triggers
from retrofill.triggers.trigger import Trigger

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CREATED = ["s3:ObjectCreated:*"]
_numbers = count()


@pytest.fixture
def client(aws: str, aws_session: boto3.Session) -> Callable[[str], Any]:
    return lambda name: aws_session.client(name, endpoint_url=aws)


@pytest.fixture
def name() -> str:
    return f"triggers-{next(_numbers)}"


@pytest.fixture
def function(name: str, lambda_client: "LambdaClient") -> str:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): pass")
    made = lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="index.handler",
        Code={"ZipFile": package.getvalue()},
    )
    return made["FunctionArn"]


class World:
    """A bucket whose notifications are set piece by piece."""

    def __init__(self, client: Callable[[str], Any], name: str, function: str) -> None:
        self.client, self.name, self.function = client, name, function
        client("s3").create_bucket(Bucket=name)

    def notify(self, **configuration: Any) -> None:
        self.client("s3").put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration=configuration
        )

    def queue(self, **mapping: Any) -> str:
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = asked["Attributes"]["QueueArn"]
        self.client("lambda").create_event_source_mapping(
            EventSourceArn=arn, FunctionName=self.function, **mapping
        )
        return arn

    def topic(self, protocol: str, endpoint: str, **attributes: str) -> str:
        sns = self.client("sns")
        arn: str = sns.create_topic(Name=self.name)["TopicArn"]
        sns.subscribe(
            TopicArn=arn,
            Protocol=protocol,
            Endpoint=endpoint,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        return arn

    def subscription(self, topic: str) -> str:
        (one,) = self.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        arn: str = one["SubscriptionArn"]
        return arn

    def rule(self, pattern: dict[str, Any], **target: str) -> None:
        events = self.client("events")
        events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        targets = [{"Id": "f", "Arn": self.function, **target}]
        events.put_targets(Rule=self.name, Targets=targets)

    def found(self) -> Found:
        function = str(Arn.parse(self.function).unqualified)
        return find_triggers(self.client, self.name, function)

    def trigger(self) -> Trigger:
        (trigger,) = self.found().triggers
        return trigger


@pytest.fixture
def world(client: Callable[[str], Any], name: str, function: str) -> World:
    return World(client, name, function)


@pytest.fixture
def alias(world: World) -> str:
    """An alias of the function, which the world's mappings and rules are for from now on."""
    client = world.client("lambda")
    version = client.publish_version(FunctionName=world.function)["Version"]
    made = client.create_alias(FunctionName=world.function, Name="live", FunctionVersion=version)
    world.function = made["AliasArn"]
    return "live"


def to_function(world: World, **more: Any) -> dict[str, Any]:
    return {"Id": "n", "LambdaFunctionArn": world.function, "Events": CREATED, **more}


def test_a_bucket_without_notifications(world: World) -> None:
    assert world.found() == ([], [])


def test_a_bucket_that_notifies_the_function(world: World) -> None:
    rules = [{"Name": "prefix", "Value": "in/a+b"}, {"Name": "suffix", "Value": ".jpg"}]
    world.notify(
        LambdaFunctionConfigurations=[to_function(world, Filter={"Key": {"FilterRules": rules}})]
    )
    trigger = world.trigger()
    assert (trigger.event, trigger.live.configuration_id) == ("s3", "n")
    assert (trigger.live.prefix, trigger.live.suffix) == ("in/a b", ".jpg")
    assert trigger.batch_items is None
    assert "keys with prefix 'in/a b' and suffix '.jpg'" in trigger.way


def test_a_qualifier_in_the_trigger_is_told(world: World) -> None:
    arn = f"{world.function}:prod"
    world.notify(LambdaFunctionConfigurations=[to_function(world, LambdaFunctionArn=arn)])
    assert world.trigger().qualifier == "prod"


def test_a_mapping_of_an_alias_is_found_by_the_bare_name(world: World, alias: str) -> None:
    world.notify(QueueConfigurations=[{"QueueArn": world.queue(), "Events": CREATED}])
    found = world.trigger()
    assert (found.event, found.qualifier) == ("s3-sqs", alias)


def test_a_rule_for_an_alias_is_found_by_the_bare_name(world: World, alias: str) -> None:
    world.notify(EventBridgeConfiguration={})
    world.rule({"source": ["aws.s3"], "detail": {"bucket": {"name": [world.name]}}})
    found = world.trigger()
    assert (found.event, found.qualifier) == ("eventbridge", alias)


def test_what_is_not_for_us_is_named(world: World) -> None:
    other = f"{world.function}-other"
    world.notify(
        LambdaFunctionConfigurations=[
            to_function(world, Events=["s3:ObjectRemoved:*"]),
            to_function(world, Id="m", LambdaFunctionArn=other),
        ]
    )
    found = world.found()
    assert found.triggers == []
    assert "s3:ObjectRemoved:*" in found.others[0]
    assert found.others[1] == f"notification m to {other}"


def test_a_queue_between(world: World) -> None:
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"Records": [{"exists": True}]}})}]}
    arn = world.queue(
        BatchSize=7, FunctionResponseTypes=["ReportBatchItemFailures"], FilterCriteria=filters
    )
    world.notify(QueueConfigurations=[{"Id": "n", "QueueArn": arn, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.queue_arn) == ("s3-sqs", arn)
    assert (trigger.batch_items, trigger.reports_failures) == (7, True)
    assert trigger.live.patterns == ({"body": {"Records": [{"exists": True}]}},)


def test_a_queue_that_the_function_does_not_read(world: World) -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:elsewhere"
    world.client("sqs").create_queue(QueueName="elsewhere")
    world.notify(QueueConfigurations=[{"Id": "n", "QueueArn": arn, "Events": CREATED}])
    assert world.found() == ([], [f"notification n to {arn}"])


def test_a_topic_between(world: World) -> None:
    arn = world.topic("lambda", world.function)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.topic_arn, trigger.live.queue_arn) == ("s3-sns", arn, "")
    assert trigger.live.subscription_arn == world.subscription(arn)
    assert not trigger.unlike


@pytest.mark.parametrize(("raw", "event"), [("false", "s3-sns-sqs"), ("true", "s3-sqs")])
def test_a_topic_and_a_queue_between(world: World, raw: str, event: str) -> None:
    queue = world.queue(BatchSize=3)
    topic = world.topic("sqs", queue, RawMessageDelivery=raw)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.queue_arn, trigger.batch_items) == (event, queue, 3)
    assert trigger.live.topic_arn == ("" if raw == "true" else topic)
    assert trigger.live.subscription_arn == ("" if raw == "true" else world.subscription(topic))
    assert not trigger.reports_failures


def test_a_subscription_that_filters_notifications_tells_how(world: World) -> None:
    policy = {"Records": {"s3": {"object": {"key": [{"prefix": "in/"}]}}}}
    attributes = {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": "MessageBody"}
    direct = world.topic("lambda", world.function, **attributes)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": direct, "Events": CREATED}])
    assert world.trigger().live.filter_policy == policy
    world.topic("sqs", world.queue(), **attributes)
    policies = {one.event: one.live.filter_policy for one in world.found().triggers}
    assert policies == {"s3-sns": policy, "s3-sns-sqs": policy}


def test_a_subscription_that_wants_attributes_is_no_trigger(world: World) -> None:
    arn = world.topic("lambda", world.function, FilterPolicy='{"kind": ["photo"]}')
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    triggers, others = world.found()
    assert triggers == []
    assert others[0].endswith("whose filter policy wants attributes; S3 sends none")


def test_a_subscription_that_wants_no_attributes_lets_all_through(world: World) -> None:
    policy = '{"kind": [{"exists": false}]}'
    arn = world.topic("lambda", world.function, FilterPolicy=policy)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    assert world.trigger().live.filter_policy == {}


def test_a_rule_between(world: World) -> None:
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [world.name]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    world.rule(pattern)
    world.notify(EventBridgeConfiguration={})
    trigger = world.trigger()
    assert (trigger.event, trigger.live.patterns) == ("eventbridge", (pattern,))
    assert not trigger.unlike


@pytest.mark.parametrize(
    "pattern",
    [
        {"detail": {"bucket": {"name": ["other"]}}},
        {"resources": ["arn:aws:s3:::other"]},
        {"$or": [{"detail": {"bucket": {"name": [name]}}} for name in ("one", "other")]},
        {"detail-type": ["Object Deleted"]},
    ],
)
def test_a_rule_for_other_events_is_named(world: World, pattern: dict[str, Any]) -> None:
    world.rule({"source": ["aws.s3"], **pattern})
    world.notify(EventBridgeConfiguration={})
    assert world.found() == ([], [f"EventBridge rule {world.name}, for other events"])


def test_a_rule_on_a_schedule_is_no_trigger(world: World) -> None:
    events = world.client("events")
    events.put_rule(Name=world.name, ScheduleExpression="rate(5 minutes)")
    events.put_targets(Rule=world.name, Targets=[{"Id": "f", "Arn": world.function}])
    world.notify(EventBridgeConfiguration={})
    assert world.found() == ([], [f"EventBridge rule {world.name}, on a schedule"])


def test_a_filter_that_may_not_be_read_cannot_be_imitated(world: World) -> None:
    arn = world.queue()
    world.notify(QueueConfigurations=[{"Id": "q", "QueueArn": arn, "Events": CREATED}])
    asked = world.client("lambda")

    def encrypted(parsed: dict[str, Any], **_: Any) -> None:
        for mapping in parsed["EventSourceMappings"]:
            error = {"ErrorCode": "KMSAccessDeniedException", "Message": "denied"}
            mapping["FilterCriteriaError"] = error

    asked.meta.events.register("after-call.lambda.ListEventSourceMappings", encrypted)
    found = find_triggers(
        lambda service: asked if service == "lambda" else world.client(service),
        world.name,
        world.function,
    )
    assert [one.unlike for one in found.triggers] == [
        "the filter of its mapping may not be read (KMSAccessDeniedException)"
    ]


def test_a_rule_that_changes_the_event_cannot_be_imitated(world: World) -> None:
    world.rule({"source": ["aws.s3"]}, InputPath="$.detail")
    world.notify(EventBridgeConfiguration={})
    assert world.trigger().unlike == "its target has InputPath, which makes another event of it"


def test_a_stream_that_feeds_the_function_too_is_named(world: World) -> None:
    world.client("kinesis").create_stream(StreamName=world.name, ShardCount=1)
    arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{world.name}"
    world.client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=world.function, StartingPosition="LATEST"
    )
    world.notify(QueueConfigurations=[{"Id": "n", "QueueArn": world.queue(), "Events": CREATED}])
    found = world.found()
    assert [one.event for one in found.triggers] == ["s3-sqs"]
    assert [other.partition(" from ")[2] for other in found.others] == [arn]


def test_the_function_is_asked_about_only_where_a_queue_or_a_rule_may_name_it(world: World) -> None:
    topic = world.topic("lambda", world.function)
    world.notify(
        LambdaFunctionConfigurations=[to_function(world)],
        TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}],
    )

    def denied(service: str) -> Any:
        return Refusing("AccessDenied", 403) if service == "lambda" else world.client(service)

    found = find_triggers(denied, world.name, world.function)
    assert [one.event for one in found.triggers] == ["s3", "s3-sns"]
    queue = world.queue()
    world.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    with pytest.raises(ConfigError, match="need lambda:ListAliases"):
        find_triggers(denied, world.name, world.function)


class Refusing:
    """A client whose every operation is answered with one error."""

    def __init__(self, code: str, status: int) -> None:
        self._error = ClientError(
            {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "GetBucketNotificationConfiguration",
        )

    def get_bucket_notification_configuration(self, **_: str) -> None:
        raise self._error

    def get_paginator(self, _: str) -> "Refusing":
        return self

    def paginate(self, **_: str) -> None:
        raise self._error


def test_a_missing_permission_is_named(function: str) -> None:
    with pytest.raises(ConfigError, match="need s3:GetBucketNotification") as caught:
        find_triggers(lambda _: Refusing("AccessDenied", 403), "b", function)
    assert "s3, eventbridge" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "status"), [("InternalError", 500), ("ThrottlingException", 400), ("SlowDown", 503)]
)
def test_a_server_in_trouble_is_asked_again(function: str, code: str, status: int) -> None:
    with pytest.raises(FunctionUnavailable, match="could not be looked up"):
        find_triggers(lambda _: Refusing(code, status), "b", function)


def test_credentials_that_are_not_accepted_are_no_missing_permission(
    function: str,
) -> None:
    with pytest.raises(ConfigError, match="aws_conn_id: its credentials are not accepted"):
        find_triggers(lambda _: Refusing("ExpiredToken", 400), "b", function)


class Pending:
    """SNS, with one subscription that nobody has confirmed."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def get_paginator(self, _: str) -> "Pending":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        pending = {"SubscriptionArn": "PendingConfirmation"}
        return [{"Subscriptions": [{"Protocol": "sqs", "Endpoint": self._endpoint, **pending}]}]


def test_a_subscription_that_nobody_confirmed_is_no_trigger(world: World) -> None:
    queue = world.queue()
    topic = world.topic("sqs", queue)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}])
    asked = world.client
    found = find_triggers(
        lambda service: Pending(queue) if service == "sns" else asked(service),
        world.name,
        world.function,
    )
    assert found == ([], [f"notification n to {topic}"])
