"""Live triggers, read via the APIs of S3, Lambda, SNS and EventBridge."""

import io
import json
import zipfile
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from retrofill.aws.arn import Arn
from retrofill.events.s3.configuration import Configuration
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.triggers.find import Found, find_triggers
from retrofill.triggers.trigger import Trigger

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CREATED = ["s3:ObjectCreated:*"]
_numbers = count()

Clients = Callable[[str], Any]


@pytest.fixture
def client(aws: str, aws_session: boto3.Session) -> Clients:
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
    """A bucket whose notifications are set step by step."""

    def __init__(self, client: Callable[[str], Any], name: str, function: str) -> None:
        self.client, self.name, self.function = client, name, function
        client("s3").create_bucket(Bucket=name)

    def notify(self, **configuration: Any) -> None:
        self.client("s3").put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration=configuration
        )

    def bare_queue(self) -> str:
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = asked["Attributes"]["QueueArn"]
        return arn

    def queue(self, **mapping: Any) -> str:
        arn = self.bare_queue()
        self.client("lambda").create_event_source_mapping(
            **{"EventSourceArn": arn, "FunctionName": self.function, **mapping}
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

    def rule(
        self, pattern: dict[str, Any], name: str = "", bus: str = "default", **target: Any
    ) -> str:
        events, name = self.client("events"), name or self.name
        events.put_rule(Name=name, EventPattern=json.dumps(pattern), EventBusName=bus)
        targets = [{"Id": "f", "Arn": self.function, **target}]
        events.put_targets(Rule=name, Targets=targets, EventBusName=bus)
        return name

    def bus(self) -> str:
        arn: str = self.client("events").create_event_bus(Name=self.name)["EventBusArn"]
        return arn

    @property
    def of_bucket(self) -> dict[str, Any]:
        return {"source": ["aws.s3"], "detail": {"bucket": {"name": [self.name]}}}

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
    """An alias of the function, to which the world's mappings and rules lead from now on."""
    client = world.client("lambda")
    version = client.publish_version(FunctionName=world.function)["Version"]
    made = client.create_alias(FunctionName=world.function, Name="live", FunctionVersion=version)
    world.function = made["AliasArn"]
    return "live"


def to_function(world: World, **more: Any) -> dict[str, Any]:
    return {"Id": "n", "LambdaFunctionArn": world.function, "Events": CREATED, **more}


def test_a_bucket_without_notifications_has_no_trigger(world: World) -> None:
    assert world.found() == ([], [])


def test_a_bucket_that_notifies_the_function_is_a_trigger(world: World) -> None:
    rules = [{"Name": "prefix", "Value": "in/a+b"}, {"Name": "suffix", "Value": ".jpg"}]
    world.notify(
        LambdaFunctionConfigurations=[to_function(world, Filter={"Key": {"FilterRules": rules}})]
    )
    trigger = world.trigger()
    assert (trigger.event, trigger.live.rules) == ("s3", ())
    assert trigger.live.configurations == (
        Configuration(id="n", events=tuple(CREATED), prefix="in/a b", suffix=".jpg"),
    )
    assert trigger.batch_items is None
    assert "keys with prefix 'in/a b' and suffix '.jpg'" in trigger.route


def test_the_qualifier_of_a_trigger_is_shown(world: World) -> None:
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


def test_triggers_of_other_functions_are_named(world: World) -> None:
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
    assert found.others[1] == f"bucket notification m to {other}"


def test_a_queue_in_between_is_followed(world: World) -> None:
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"Records": [{"exists": True}]}})}]}
    arn = world.queue(
        BatchSize=7, FunctionResponseTypes=["ReportBatchItemFailures"], FilterCriteria=filters
    )
    world.notify(QueueConfigurations=[{"Id": "n", "QueueArn": arn, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.queue_arn) == ("s3-sqs", arn)
    assert (trigger.batch_items, trigger.reports_failures) == (7, True)
    assert trigger.live.patterns == ({"body": {"Records": [{"exists": True}]}},)


def test_a_queue_that_the_function_does_not_read_is_not_a_trigger(world: World) -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:elsewhere"
    world.client("sqs").create_queue(QueueName="elsewhere")
    world.notify(QueueConfigurations=[{"Id": "n", "QueueArn": arn, "Events": CREATED}])
    assert world.found() == ([], [f"bucket notification n to {arn}"])


def test_a_topic_in_between_is_followed(world: World) -> None:
    arn = world.topic("lambda", world.function)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.topic_arn, trigger.live.queue_arn) == ("s3-sns", arn, "")
    assert trigger.live.subscription_arn == world.subscription(arn)
    assert not trigger.obstacle


@pytest.mark.parametrize(("raw", "event"), [("false", "s3-sns-sqs"), ("true", "s3-sqs")])
def test_a_topic_and_a_queue_in_between_are_followed(world: World, raw: str, event: str) -> None:
    queue = world.queue(BatchSize=3)
    topic = world.topic("sqs", queue, RawMessageDelivery=raw)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}])
    trigger = world.trigger()
    assert (trigger.event, trigger.live.queue_arn, trigger.batch_items) == (event, queue, 3)
    assert trigger.live.topic_arn == ("" if raw == "true" else topic)
    assert trigger.live.subscription_arn == ("" if raw == "true" else world.subscription(topic))
    assert not trigger.reports_failures


def test_the_filter_of_a_subscription_is_read(world: World) -> None:
    policy = {"Records": {"s3": {"object": {"key": [{"prefix": "in/"}]}}}}
    attributes = {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": "MessageBody"}
    direct = world.topic("lambda", world.function, **attributes)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": direct, "Events": CREATED}])
    assert world.trigger().live.filter_policy == policy
    world.topic("sqs", world.queue(), **attributes)
    policies = {one.event: one.live.filter_policy for one in world.found().triggers}
    assert policies == {"s3-sns": policy, "s3-sns-sqs": policy}


def test_a_subscription_that_requires_attributes_is_not_a_trigger(world: World) -> None:
    arn = world.topic("lambda", world.function, FilterPolicy='{"kind": ["photo"]}')
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    triggers, others = world.found()
    assert triggers == []
    assert others[0].endswith("whose filter policy is for attributes; these messages have none")


def test_a_subscription_without_a_filter_lets_everything_through(world: World) -> None:
    policy = '{"kind": [{"exists": false}]}'
    arn = world.topic("lambda", world.function, FilterPolicy=policy)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": arn, "Events": CREATED}])
    assert world.trigger().live.filter_policy == {}


def test_a_rule_in_between_is_followed(world: World) -> None:
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [world.name]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    world.rule(pattern)
    world.notify(EventBridgeConfiguration={})
    trigger = world.trigger()
    assert (trigger.event, trigger.live.rules) == ("eventbridge", ((pattern,),))
    assert trigger.live.configurations == ()
    assert not trigger.obstacle


@pytest.mark.parametrize(
    "pattern",
    [
        {"detail": {"bucket": {"name": ["other"]}}},
        {"resources": ["arn:aws:s3:::other"]},
        {"$or": [{"detail": {"bucket": {"name": [name]}}} for name in ("one", "other")]},
        {"detail-type": ["Object Deleted"]},
    ],
)
def test_a_rule_for_other_events_is_not_a_trigger(world: World, pattern: dict[str, Any]) -> None:
    world.rule({"source": ["aws.s3"], **pattern})
    world.notify(EventBridgeConfiguration={})
    assert world.found() == ([], [])


def test_a_rule_on_a_schedule_is_not_a_trigger(world: World) -> None:
    events = world.client("events")
    events.put_rule(Name=world.name, ScheduleExpression="rate(5 minutes)")
    events.put_targets(Rule=world.name, Targets=[{"Id": "f", "Arn": world.function}])
    world.notify(EventBridgeConfiguration={})
    assert world.found() == ([], [])


def test_an_unreadable_filter_cannot_be_imitated(world: World) -> None:
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
    assert [one.obstacle for one in found.triggers] == [
        "the filter of its mapping cannot be read (KMSAccessDeniedException)"
    ]


def test_a_rule_that_changes_the_event_cannot_be_imitated(world: World) -> None:
    world.rule(world.of_bucket, InputPath="$.detail")
    world.notify(EventBridgeConfiguration={})
    assert world.trigger().obstacle == "its target has InputPath, which changes the event"


def two_suffixes(target: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            **target,
            "Id": suffix,
            "Events": CREATED,
            "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": suffix}]}},
        }
        for suffix in (".jpg", ".png")
    ]


def test_notifications_to_one_function_or_queue_or_topic_are_one_trigger(world: World) -> None:
    queue, topic = world.queue(), world.topic("lambda", world.function)
    expected = (
        Configuration(id=".jpg", events=tuple(CREATED), suffix=".jpg"),
        Configuration(id=".png", events=tuple(CREATED), suffix=".png"),
    )
    for event, configuration in {
        "s3": {"LambdaFunctionConfigurations": two_suffixes({"LambdaFunctionArn": world.function})},
        "s3-sqs": {"QueueConfigurations": two_suffixes({"QueueArn": queue})},
        "s3-sns": {"TopicConfigurations": two_suffixes({"TopicArn": topic})},
    }.items():
        world.notify(**configuration)
        trigger = world.trigger()
        assert (trigger.event, trigger.live.configurations) == (event, expected)
        assert "(keys with suffix '.jpg') and bucket notification .png" in trigger.route


def test_rules_with_one_target_are_one_trigger(world: World) -> None:
    patterns = [
        {**world.of_bucket, "detail-type": [kind]} for kind in ("Object Created", "Object Deleted")
    ]
    small = {**world.of_bucket, "account": [{"exists": True}]}
    names = [
        world.rule(pattern, f"{world.name}-{number}")
        for number, pattern in enumerate([*patterns, small])
    ]
    world.notify(EventBridgeConfiguration={})
    trigger = world.trigger()
    assert trigger.live.rules == ((patterns[0],), (small,))
    assert [name in trigger.route for name in names] == [True, False, True]


@pytest.mark.parametrize(
    ("protocol", "raw", "event"),
    [
        ("", "", "eventbridge-sqs"),
        ("lambda", "false", "eventbridge-sns"),
        ("sqs", "false", "eventbridge-sns-sqs"),
        ("sqs", "true", "eventbridge-sqs"),
    ],
)
def test_the_targets_of_a_rule_are_followed(
    world: World, protocol: str, raw: str, event: str
) -> None:
    queue = "" if protocol == "lambda" else world.queue(BatchSize=4)
    topic = ""
    if protocol:
        more = {"RawMessageDelivery": raw} if queue else {}
        topic = world.topic(protocol, queue or world.function, **more)
    world.rule(world.of_bucket, Arn=topic or queue)
    world.notify(EventBridgeConfiguration={})
    trigger = world.trigger()
    assert (trigger.event, trigger.live.queue_arn) == (event, queue)
    assert trigger.live.topic_arn == ("" if raw == "true" else topic)
    assert (trigger.live.rules, trigger.batch_items) == (
        ((world.of_bucket,),),
        4 if queue else None,
    )


def test_a_custom_bus_is_followed_with_its_own_rules(world: World) -> None:
    other = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
    bus = world.bus()
    world.rule(world.of_bucket, Arn=bus)
    world.rule(other, f"{world.name}-on", bus=world.name)
    world.rule(world.of_bucket, f"{world.name}-back", bus=world.name, Arn=bus)
    world.notify(EventBridgeConfiguration={})
    found = world.found()
    (trigger,) = found.triggers
    assert (trigger.event, trigger.live.rules) == ("eventbridge", ((world.of_bucket, other),))
    assert f"to bus {world.name} and its EventBridge rule {world.name}-on" in trigger.route
    assert len(found.others) == 1
    assert found.others[0].endswith(f"{world.name}-back (enabled) to {bus}")


def test_a_route_that_cannot_be_followed_is_named(world: World) -> None:
    abroad = "arn:aws:events:eu-west-1:000000000000:event-bus/elsewhere"
    world.rule(world.of_bucket, Arn=abroad, RoleArn="arn:aws:iam::000000000000:role/r")
    world.notify(EventBridgeConfiguration={})
    assert world.found() == ([], [f"EventBridge rule {world.name} (enabled) to {abroad}"])


def test_a_pipe_that_reads_the_queue_is_named(world: World) -> None:
    queue = world.bare_queue()
    pipe = {"Source": queue, "Target": world.function, "RoleArn": "arn:aws:iam::1:role/r"}
    world.client("pipes").create_pipe(Name=world.name, **pipe)
    world.rule(world.of_bucket, Arn=queue)
    world.notify(EventBridgeConfiguration={})
    assert world.found() == (
        [],
        [
            f"pipe {world.name} from {queue} to {world.function}",
            f"EventBridge rule {world.name} (enabled) to {queue}",
        ],
    )


def test_a_missing_permission_to_list_pipes_is_reported_and_refuses_nothing(world: World) -> None:
    queue = world.bare_queue()
    world.notify(
        LambdaFunctionConfigurations=[to_function(world)],
        QueueConfigurations=[{"Id": "q", "QueueArn": queue, "Events": CREATED}],
    )

    def denied(service: str) -> Any:
        client = world.client(service)
        return refusing(client, "AccessDenied", 403) if service == "pipes" else client

    found = find_triggers(denied, world.name, world.function)
    assert [one.event for one in found.triggers] == ["s3"]
    assert "which a pipe may read; that is not known" in found.others[0]


def test_a_fifo_queue_behind_a_rule_cannot_be_imitated(world: World) -> None:
    queue = f"arn:aws:sqs:us-east-1:000000000000:{world.name}.fifo"
    world.client("sqs").create_queue(
        QueueName=f"{world.name}.fifo", Attributes={"FifoQueue": "true"}
    )
    world.queue(EventSourceArn=queue)
    world.rule(world.of_bucket, Arn=queue, SqsParameters={"MessageGroupId": "g"})
    world.notify(EventBridgeConfiguration={})
    assert "FIFO queue, whose messages contain their group" in world.trigger().obstacle


def test_a_trigger_on_an_alias_is_found_for_any_qualifier(world: World) -> None:
    aws_lambda = world.client("lambda")
    version = aws_lambda.publish_version(FunctionName=world.function)["Version"]
    aws_lambda.create_alias(FunctionName=world.function, Name="live", FunctionVersion=version)
    alias = f"{world.function}:live"
    world.rule(world.of_bucket, Arn=alias)
    queue = world.queue(FunctionName=alias)
    world.notify(
        QueueConfigurations=[{"Id": "n", "QueueArn": queue, "Events": CREATED}],
        EventBridgeConfiguration={},
    )
    found = world.found().triggers
    assert [(one.event, one.qualifier) for one in found] == [
        ("s3-sqs", "live"),
        ("eventbridge", "live"),
    ]


def test_mappings_are_read_only_if_a_queue_is_on_the_route(world: World) -> None:
    topic = world.topic("lambda", world.function)
    world.notify(
        LambdaFunctionConfigurations=[to_function(world)],
        TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}],
        EventBridgeConfiguration={},
    )
    world.rule(world.of_bucket)

    def denied(service: str) -> Any:
        client = world.client(service)
        return refusing(client, "AccessDenied", 403) if service == "lambda" else client

    found = find_triggers(denied, world.name, world.function)
    assert [one.event for one in found.triggers] == ["s3", "s3-sns", "eventbridge"]
    queue = world.queue()
    world.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    with pytest.raises(ConfigError, match="need lambda:ListEventSourceMappings"):
        find_triggers(denied, world.name, world.function)


def answering(client: Any, status: int, answer: dict[str, Any]) -> Any:
    """Give every operation of a client this response instead of the server's."""
    reply = AWSResponse("", status, {}, None), answer
    client.meta.events.register("before-call", lambda **_: reply)
    return client


def refusing(client: Any, code: str, status: int) -> Any:
    """Give every operation of a client this error."""
    error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return answering(client, status, error)


def test_a_missing_permission_is_named(client: Clients, function: str) -> None:
    with pytest.raises(ConfigError, match="need s3:GetBucketNotification") as caught:
        find_triggers(lambda name: refusing(client(name), "AccessDenied", 403), "b", function)
    assert "s3, eventbridge" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "status"), [("InternalError", 500), ("ThrottlingException", 400), ("SlowDown", 503)]
)
def test_a_failing_server_is_retried(
    client: Clients, function: str, code: str, status: int
) -> None:
    with pytest.raises(FunctionUnavailable, match="could not be looked up"):
        find_triggers(lambda name: refusing(client(name), code, status), "b", function)


def test_rejected_credentials_are_not_a_missing_permission(
    client: Clients,
    function: str,
) -> None:
    with pytest.raises(ConfigError, match="aws_conn_id: its credentials are not accepted"):
        find_triggers(lambda name: refusing(client(name), "ExpiredToken", 400), "b", function)


def test_an_unconfirmed_subscription_is_not_a_trigger(world: World) -> None:
    queue = world.queue()
    topic = world.topic("sqs", queue)
    world.notify(TopicConfigurations=[{"Id": "n", "TopicArn": topic, "Events": CREATED}])
    pending = {"SubscriptionArn": "PendingConfirmation", "Protocol": "sqs", "Endpoint": queue}

    def unconfirmed(service: str) -> Any:
        client = world.client(service)
        return answering(client, 200, {"Subscriptions": [pending]}) if service == "sns" else client

    found = find_triggers(unconfirmed, world.name, world.function)
    assert found == ([], [f"bucket notification n to {topic}"])
