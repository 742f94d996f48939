"""Our events, compared field by field with those of a live trigger for the same objects.

A real function is subscribed to buckets of the emulator via every route from S3, and records its
events. Objects are put, then listed, and each one's replayed event is compared
with its live one. Every field that differs must be explained in this file.
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import boto3
import pytest
from retrofill.aws.objects import pack
from retrofill.engine.identity import identifier_of
from retrofill.events import EventContext, compile_shape
from retrofill.model.items import Item

from tests.given import s3_context

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

PREFIX = "fidelity"
RECEIVED = f"{PREFIX}-received"
ACCOUNT = "000000000000"
NOTIFIED = ("s3", "s3-sqs", "s3-sns", "s3-sns-sqs")
RULED = ("eventbridge", "eventbridge-sqs", "eventbridge-sns", "eventbridge-sns-sqs")
SHAPES = NOTIFIED + RULED
CODE = f"""
import json, boto3

def handler(event, context):
    boto3.client("s3").put_object(
        Bucket="{RECEIVED}", Key=context.aws_request_id, Body=json.dumps(event)
    )
"""
PUT = {
    "plain.txt": b"plain",
    "empty": b"",
    "year=2019/dt=09-03/red flower+1.jpg": b"spaces and plus",
    "percent%2B%20.txt": b"looks encoded",
    "caf\u00e9/\u65e5\u672c.txt": b"composed",
    "cafe\u0301/\u65e5\u672c.txt": b"decomposed",
    'quote"back\\slash;:@&.txt': b"to be escaped in JSON",
    "emoji-\U0001f600.bin": b"beyond the basic plane",
}
IN_PARTS = "in parts.bin"
DELIVERED_WITHIN_S = 60

# Fields that differ, and why. Paths lead into JSON strings, too.
KEY = "the emulator leaves the key raw; AWS form-url-encodes it, and so do we (tested below)"
NOT_IN_A_LISTING = "no listing has it"
SYNTHETIC = "synthetic in both"
EMULATED = "the emulator has a constant here; ours is synthetic, in AWS's form"
WHEN = "the live value is the time of the event, ours the object's time in the listing"
NOTIFICATION = {
    "eventTime": WHEN,
    "userIdentity.principalId": NOT_IN_A_LISTING,
    "responseElements.x-amz-request-id": SYNTHETIC,
    "responseElements.x-amz-id-2": SYNTHETIC,
    "s3.bucket.ownerIdentity.principalId": "the emulator has EXAMPLE, no listing has it",
    "s3.object.key": KEY,
    "s3.object.sequencer": EMULATED,
}
EVENT_OF_A_RULE = {
    "id": SYNTHETIC,
    "time": f"{WHEN}; AWS's has no milliseconds",
    "detail.event-version": "newer than the recorded AWS shape that we send",
    "detail.request-id": SYNTHETIC,
    "detail.object.sequencer": EMULATED,
}
MESSAGE_IN_SQS = {
    "messageId": SYNTHETIC,
    "receiptHandle": "ours was never in a queue",
    "md5OfBody": "that of its own body (tested below)",
    "attributes.SentTimestamp": WHEN,
    "attributes.ApproximateFirstReceiveTimestamp": WHEN,
    "attributes.SenderId": NOT_IN_A_LISTING,
}
MESSAGE_OF_SNS = {
    "MessageId": SYNTHETIC,
    "Timestamp": WHEN,
    "Signature": "only SNS can sign",
    "SigningCertURL": "no listing has the certificate's name",
    "UnsubscribeURL": "the emulator names itself",
}
TO_LAMBDA = "AWS's name in events for Lambda; the emulator's ends in URL, as for SQS"
SUBJECT = "the emulator invents one; EventBridge gives SNS none"
MESSAGE_OF_SNS_TO_LAMBDA = {
    **MESSAGE_OF_SNS,
    "SigningCertUrl": TO_LAMBDA,
    "UnsubscribeUrl": TO_LAMBDA,
    "MessageAttributes": "AWS sends it empty to Lambda; the emulator leaves it out",
}


def within(path: str, fields: dict[str, str]) -> dict[str, str]:
    return {f"{path}.{field}": why for field, why in fields.items()}


EXPLAINED = {
    "s3": within("Records[0]", NOTIFICATION),
    "s3-sqs": {
        **within("Records[0]", MESSAGE_IN_SQS),
        **within("Records[0].body.Records[0]", NOTIFICATION),
    },
    "s3-sns": {
        **within("Records[0].Sns", MESSAGE_OF_SNS_TO_LAMBDA),
        **within("Records[0].Sns.Message.Records[0]", NOTIFICATION),
    },
    "s3-sns-sqs": {
        **within("Records[0]", MESSAGE_IN_SQS),
        **within("Records[0].body", MESSAGE_OF_SNS),
        **within("Records[0].body.Message.Records[0]", NOTIFICATION),
    },
    "eventbridge": EVENT_OF_A_RULE,
    "eventbridge-sqs": {
        **within("Records[0]", MESSAGE_IN_SQS),
        **within("Records[0].body", EVENT_OF_A_RULE),
    },
    "eventbridge-sns": {
        **within("Records[0].Sns", MESSAGE_OF_SNS_TO_LAMBDA | {"Subject": SUBJECT}),
        **within("Records[0].Sns.Message", EVENT_OF_A_RULE),
    },
    "eventbridge-sns-sqs": {
        **within("Records[0]", MESSAGE_IN_SQS),
        **within("Records[0].body", MESSAGE_OF_SNS | {"Subject": SUBJECT}),
        **within("Records[0].body.Message", EVENT_OF_A_RULE),
    },
}
KEY_PATHS = {
    "s3": "Records[0].s3.object.key",
    "s3-sqs": "Records[0].body.Records[0].s3.object.key",
    "s3-sns": "Records[0].Sns.Message.Records[0].s3.object.key",
    "s3-sns-sqs": "Records[0].body.Message.Records[0].s3.object.key",
    "eventbridge": "detail.object.key",
    "eventbridge-sqs": "Records[0].body.detail.object.key",
    "eventbridge-sns": "Records[0].Sns.Message.detail.object.key",
    "eventbridge-sns-sqs": "Records[0].body.Message.detail.object.key",
}
TIME_PATHS = {
    "s3": "Records[0].eventTime",
    "s3-sqs": "Records[0].body.Records[0].eventTime",
    "s3-sns": "Records[0].Sns.Timestamp",
    "s3-sns-sqs": "Records[0].body.Timestamp",
    "eventbridge": "time",
    "eventbridge-sqs": "Records[0].body.time",
    "eventbridge-sns": "Records[0].Sns.Timestamp",
    "eventbridge-sns-sqs": "Records[0].body.Timestamp",
}


@dataclass(frozen=True)
class Triggers:
    """The live triggers and their events: by shape and by key as in the event."""

    function_arn: str
    queue_arns: dict[str, str]
    topic_arns: dict[str, str]
    subscription_arns: dict[str, str]
    delivered: dict[str, dict[str, Any]]

    def context(self, shape: str) -> EventContext:
        return s3_context(
            bucket=bucket_of(shape),
            configuration_id=f"{shape} trigger",
            function_arn=self.function_arn,
            job="fidelity",
            run_id=1,
            queue_arn=self.queue_arns.get(shape, ""),
            topic_arn=self.topic_arns.get(shape, ""),
            subscription_arn=self.subscription_arns.get(shape, ""),
        )


def bucket_of(shape: str) -> str:
    return f"{PREFIX}-{shape}"


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field of an event with its path, also inside JSON strings."""
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from flat(inner, f"{path}[{number}]")
    else:
        yield path, value


@pytest.fixture(scope="module")
def events_client(aws: str, aws_session: boto3.Session) -> Any:
    return aws_session.client("events", endpoint_url=aws)


@pytest.fixture(scope="module")
def triggers(
    s3_client: "S3Client",
    lambda_client: "LambdaClient",
    sqs_client: "SQSClient",
    sns_client: "SNSClient",
    events_client: Any,
) -> Triggers:
    """Subscribe the function via every route, put the objects, and wait for all events."""
    s3_client.create_bucket(Bucket=RECEIVED)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    function_arn = lambda_client.create_function(
        FunctionName=f"{PREFIX}-recorder",
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/recorder",
        Handler="index.handler",
        Code={"ZipFile": package.getvalue()},
        Timeout=30,
    )["FunctionArn"]

    queue_arns, topic_arns = {}, {}
    for shape in (name for name in SHAPES if name.endswith("-sqs")):
        url = sqs_client.create_queue(QueueName=bucket_of(shape))["QueueUrl"]
        wanted = sqs_client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        queue_arns[shape] = wanted["Attributes"]["QueueArn"]
        lambda_client.create_event_source_mapping(
            EventSourceArn=queue_arns[shape], FunctionName=function_arn, BatchSize=1
        )
    for shape in (name for name in SHAPES if "-sns" in name):
        topic_arns[shape] = sns_client.create_topic(Name=bucket_of(shape))["TopicArn"]
    subscription_arns = {
        shape: sns_client.subscribe(
            TopicArn=topic_arns[shape], Protocol=protocol, Endpoint=endpoint
        )["SubscriptionArn"]
        for shape, protocol, endpoint in (
            ("s3-sns", "lambda", function_arn),
            ("s3-sns-sqs", "sqs", queue_arns["s3-sns-sqs"]),
            ("eventbridge-sns", "lambda", function_arn),
            ("eventbridge-sns-sqs", "sqs", queue_arns["eventbridge-sns-sqs"]),
        )
    }
    for shape in RULED:
        pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket_of(shape)]}}}
        target = topic_arns.get(shape) or queue_arns.get(shape) or function_arn
        name = bucket_of(shape)
        events_client.put_rule(Name=name, EventPattern=json.dumps(pattern), State="ENABLED")
        events_client.put_targets(Rule=name, Targets=[{"Id": "recorder", "Arn": target}])

    targets: dict[str, dict[str, Any]] = {
        "s3": {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": function_arn}]},
        "s3-sqs": {"QueueConfigurations": [{"QueueArn": queue_arns["s3-sqs"]}]},
        "s3-sns": {"TopicConfigurations": [{"TopicArn": topic_arns["s3-sns"]}]},
        "s3-sns-sqs": {"TopicConfigurations": [{"TopicArn": topic_arns["s3-sns-sqs"]}]},
        **{shape: {"EventBridgeConfiguration": {}} for shape in RULED},
    }
    for shape, configuration in targets.items():
        for [entry] in (entries for entries in configuration.values() if entries):
            entry.update({"Id": f"{shape} trigger", "Events": ["s3:ObjectCreated:*"]})
        bucket = bucket_of(shape)
        s3_client.create_bucket(Bucket=bucket)
        s3_client.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration=configuration,  # type: ignore[arg-type]
        )
        for key, content in PUT.items():
            s3_client.put_object(Bucket=bucket, Key=key, Body=content)
        put_in_parts(s3_client, bucket, IN_PARTS)
    return Triggers(
        function_arn, queue_arns, topic_arns, subscription_arns, delivered_events(s3_client)
    )


def put_in_parts(s3_client: "S3Client", bucket: str, key: str) -> None:
    upload = s3_client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3_client.upload_part(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"one part"
    )
    s3_client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )


def delivered_events(s3_client: "S3Client") -> dict[str, dict[str, Any]]:
    """Wait for an event of each object in each bucket."""
    delivered: dict[str, dict[str, Any]] = {shape: {} for shape in SHAPES}
    seen: set[str] = set()
    expected = len(PUT) + 1
    deadline = time.monotonic() + DELIVERED_WITHIN_S
    while any(len(events) < expected for events in delivered.values()):
        counts = {shape: len(events) for shape, events in delivered.items()}
        assert time.monotonic() < deadline, f"of {expected} events each only {counts} came"
        time.sleep(0.2)
        for entry in s3_client.list_objects_v2(Bucket=RECEIVED).get("Contents", []):
            if entry["Key"] in seen:
                continue
            seen.add(entry["Key"])
            body = s3_client.get_object(Bucket=RECEIVED, Key=entry["Key"])["Body"].read()
            event = json.loads(body)
            fields = dict(flat(event))
            # S3 first sends an s3:TestEvent without a key.
            for shape in SHAPES:
                if any(value == f"arn:aws:s3:::{bucket_of(shape)}" for value in fields.values()):
                    delivered[shape][fields[KEY_PATHS[shape]]] = event
    return delivered


@pytest.fixture(scope="module")
def pairs(triggers: Triggers, s3_client: "S3Client") -> dict[str, dict[str, tuple[Any, Any]]]:
    """For each shape and key, the live event and ours, built only from the listing."""
    compared: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name in SHAPES:
        shape = compile_shape(name, triggers.context(name))
        identify = identifier_of(f"s3://{bucket_of(name)}")
        compared[name] = {}
        for entry in s3_client.list_objects_v2(Bucket=bucket_of(name))["Contents"]:
            etag = entry["ETag"].strip('"')
            item = Item(
                identifier=identify(entry["Key"], etag),
                key=entry["Key"],
                content=pack(entry["Size"], entry["LastModified"], etag, ""),
            )
            ours = json.loads(shape.body([item]))
            compared[name][item.key] = triggers.delivered[name][item.key], ours
    return compared


def differences(live: Any, ours: Any) -> dict[str, tuple[Any, Any]]:
    """Return each differing field with its values in the live event and in ours."""
    theirs, own = dict(flat(live)), dict(flat(ours))
    both = {
        path: (theirs.get(path, "missing"), own.get(path, "missing"))
        for path in theirs.keys() | own.keys()
    }
    return {path: (one, other) for path, (one, other) in both.items() if one != other}


@pytest.mark.parametrize("name", SHAPES)
def test_every_difference_from_the_live_event_is_explained(
    name: str, pairs: dict[str, dict[str, tuple[Any, Any]]]
) -> None:
    assert set(pairs[name]) == {*PUT, IN_PARTS}
    for key, (live, ours) in pairs[name].items():
        differing = differences(live, ours)
        unexplained = {path: differing[path] for path in differing.keys() - EXPLAINED[name].keys()}
        assert not unexplained, f"(live, ours) of {key!r}"


@pytest.mark.parametrize("name", SHAPES)
def test_every_explanation_explains_a_difference(
    name: str, pairs: dict[str, dict[str, tuple[Any, Any]]]
) -> None:
    differing = {path for live, ours in pairs[name].values() for path in differences(live, ours)}
    # Two clocks may agree by coincidence.
    always = {path for path, why in EXPLAINED[name].items() if not why.startswith(WHEN)}
    assert not always - differing


@pytest.mark.parametrize("name", SHAPES)
def test_a_function_decodes_the_key_to_the_one_in_the_bucket(
    name: str, pairs: dict[str, dict[str, tuple[Any, Any]]]
) -> None:
    for key, (live, ours) in pairs[name].items():
        spelled = dict(flat(ours))[KEY_PATHS[name]]
        decoded = spelled if name in RULED else unquote_plus(spelled)
        assert decoded == dict(flat(live))[KEY_PATHS[name]] == key


@pytest.mark.parametrize("name", SHAPES)
def test_times_are_as_exact_as_a_listing_allows(
    name: str, pairs: dict[str, dict[str, tuple[Any, Any]]]
) -> None:
    for both in pairs[name].values():
        live, own = (datetime.fromisoformat(dict(flat(event))[TIME_PATHS[name]]) for event in both)
        assert abs((live - own).total_seconds()) < DELIVERED_WITHIN_S


@pytest.mark.parametrize("name", [name for name in SHAPES if name.endswith("-sqs")])
def test_checksums_are_those_of_the_bodies(
    name: str, pairs: dict[str, dict[str, tuple[Any, Any]]]
) -> None:
    for both in pairs[name].values():
        for event in both:
            record = event["Records"][0]
            md5 = hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
            assert record["md5OfBody"] == md5


def test_a_multipart_upload_is_recognised_by_its_etag(
    pairs: dict[str, dict[str, tuple[Any, Any]]],
) -> None:
    for event in pairs["s3"][IN_PARTS]:
        assert event["Records"][0]["eventName"] == "ObjectCreated:CompleteMultipartUpload"
    for event in pairs["eventbridge"][IN_PARTS]:
        assert event["detail"]["reason"] == "CompleteMultipartUpload"
