"""Synthetic fields of events have the alphabet, length and lifetime of live values.

Each such field has one pattern, and a value as AWS documents it or a function logged it. Every
other field comes from the source and the live trigger, or is the same in all live events.
"""

import json
import re
from os import urandom
from typing import Any

import pytest
from retrofill.events import SHAPES, EventContext, compile_shape
from retrofill.events.s3.batch_operations import TASK_ID
from retrofill.events.s3.fields import HOST_ID, REQUEST_ID
from retrofill.events.s3.relays import RECEIPT, SIGNATURE
from retrofill.events.synthetic import UUID, Form, ids

from tests.given import s3_context
from tests.integration.test_event_fidelity import flat
from tests.unit.test_events import FACTS
from tests.unit.test_events import ITEM as OBJECT
from tests.unit.test_events_records import CONTENTS, STREAM, TABLE

UUID_4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
BASE64 = "[A-Za-z0-9+/]"
USER = "AIDA[A-Z2-7]{17}"
IP = r"(\d{1,3}\.){3}\d{1,3}"
SUBSCRIPTION = rf"arn:aws:sns:[a-z0-9-]+:\d{{12}}:[\w-]+:{UUID_4}"
SNS = r"https://sns\.[a-z0-9-]+\.amazonaws\.com/"
CERTIFICATE = rf"{SNS}SimpleNotificationService-[0-9a-f]{{32}}\.pem"
UNSUBSCRIBE = rf"{SNS}\?Action=Unsubscribe&SubscriptionArn={SUBSCRIPTION}"

A_UUID = "059f36b4-87a3-44ab-83d2-661975830a7d"
A_SUBSCRIPTION = f"arn:aws:sns:us-east-2:123456789012:sns-lambda:{A_UUID}"
AT_SNS = "https://sns.us-east-2.amazonaws.com/"
A_CERTIFICATE = f"{AT_SNS}SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem"
AN_UNSUBSCRIBE = f"{AT_SNS}?Action=Unsubscribe&SubscriptionArn={A_SUBSCRIPTION}"

OF_A_JOB = {
    "x-amz-request-id": ("[0-9A-Z]{16}", "D82B88E5F771F645"),
    "x-amz-id-2": (
        f"{BASE64}{{64}}",
        "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
    ),
    "request-id": ("[0-9A-Z]{16}", "N4N7GDK58NMKJ12R"),
    "messageId": (UUID_4, A_UUID),
    "MessageId": (UUID_4, "da41e39f-ea4d-435a-b922-c6aae3915ebe"),
    "id": (UUID_4, "f3cc4f60-61f6-4a2b-8a21-d07600c373ce"),
    "receiptHandle": (f"AQEB{BASE64}{{300,430}}", f"AQEB{'wJnKyrHigUMZj6rYigCgxlaS3SLy0a' * 12}"),
    "Signature": (f"{BASE64}{{342}}==", f"{'tcc6faL2yUC6dgZdmrwh1Y4cGa' * 13}tccQ=="),
    "invocationId": (f"{BASE64}{{20,}}={{0,2}}", "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtk"),
    "taskId": (f"{BASE64}{{20,}}={{0,2}}", "dGFza2lkZ29lc2hlcmUK"),
    "eventID": ("[0-9a-f]{32}", "c4ca4238a0b923820dcc509a6f75849b"),
    "SequenceNumber": (r"\d{21,40}", "4421584500000000017450439091"),
}
"""Fields by which a function may recognize repeated work: they differ between jobs."""

OF_OTHERS = {
    "userIdentity.principalId": (f"AWS:{USER}", "AWS:AIDAJDPLRKLG7UEXAMPLE"),
    "ownerIdentity.principalId": ("A[0-9A-Z]{12,14}", "A3I5XTEXAMAI3E"),
    "sourceIPAddress": (IP, "205.255.255.255"),
    "source-ip-address": (IP, "1.2.3.4"),
    "requester": (r"\d{12}", "123456789012"),
    "sequencer": ("([0-9A-F]{2}){8,9}", "0C0F6F405D6ED209E1"),
    "SenderId": (USER, "AIDAIENQZJOLO23YVJ4VO"),
    "EventSubscriptionArn": (SUBSCRIPTION, A_SUBSCRIPTION),
    "SigningCertUrl": (CERTIFICATE, A_CERTIFICATE),
    "SigningCertURL": (CERTIFICATE, A_CERTIFICATE),
    "UnsubscribeUrl": (UNSUBSCRIBE, AN_UNSUBSCRIBE),
    "UnsubscribeURL": (UNSUBSCRIBE, AN_UNSUBSCRIBE),
    "invokeIdentityArn": (
        r"arn:aws:iam::\d{12}:role/[\w+=,.@-]{1,64}",
        "arn:aws:iam::123456789012:role/lambda-role",
    ),
}
"""Fields of an object, an account or a topic: all jobs have the same."""

PATTERNS = {**OF_A_JOB, **OF_OTHERS}

GIVEN = {
    "ApproximateCreationDateTime", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount",
    "EventSource", "EventVersion", "Id.N", "Message.S", "MessageAttributes", "SentTimestamp",
    "SignatureVersion", "SizeBytes", "StreamViewType", "Subject", "Timestamp", "TopicArn", "Type",
    "account", "approximateArrivalTimestamp", "arn", "awsRegion", "body", "bucket.name",
    "configurationId", "data", "detail-type", "eTag", "etag", "eventName", "eventSource",
    "eventSourceARN", "eventTime", "eventVersion", "invocationSchemaVersion", "kinesis eventID",
    "kinesisSchemaVersion", "key", "md5OfBody", "messageAttributes", "partitionKey", "reason",
    "region", "resources[0]", "s3Bucket", "s3BucketArn", "s3Key", "s3SchemaVersion",
    "s3VersionId", "sequenceNumber", "size", "source", "time", "version",
}  # fmt: skip

JOBS = ("s3://photos/in/ → resize", "x" * 250, 'a "job"\\\n', "j")
NAMES = [name for name, shape in SHAPES.items() if shape.is_carried_by(["aws_lambda"])]
NAMES.remove("items")  # our own shape: it has no synthetic fields


def context(name: str, job: str, run_id: int = 1) -> EventContext:
    facts = {**FACTS, "job": job, "run_id": run_id, "subscription_arn": ""}
    stream = TABLE if name == "dynamodb" else STREAM
    return s3_context(**facts, stream=stream, queue=FACTS["queue_arn"])


def body(name: str, job: str, run_id: int = 1) -> bytes:
    content = json.dumps(CONTENTS[name]) if name in CONTENTS else OBJECT.content
    return compile_shape(name, context(name, job, run_id)).body([OBJECT._replace(content=content)])


def fields_of(name: str, job: str) -> dict[str, Any]:
    """Return the fields of an event by path; a path with a known end is shortened to that."""
    fields = {}
    for path, value in flat(json.loads(body(name, job))):
        parts = path.split(".")
        ends = [f"{name} {parts[-1]}", *(".".join(parts[-size:]) for size in (2, 1))]
        known = [end for end in ends if end in PATTERNS or end in GIVEN]
        fields[known[0] if known else path] = value
    return fields


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", NAMES)
def test_each_field_is_known_or_looks_like_a_live_one(name: str, job: str) -> None:
    fields = fields_of(name, job)
    assert fields.keys() <= PATTERNS.keys() | GIVEN
    for field in fields.keys() - GIVEN:
        assert re.fullmatch(PATTERNS[field][0], fields[field]), (field, fields[field])


@pytest.mark.parametrize("field", PATTERNS)
def test_each_pattern_matches_live_values_and_is_used(field: str) -> None:
    pattern, live = PATTERNS[field]
    assert re.fullmatch(pattern, live)
    assert any(field in fields_of(name, "j") for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_jobs_ids_are_stable_and_differ_from_another_jobs(name: str) -> None:
    assert body(name, "one", run_id=1) == body(name, "one", run_id=2)
    one, other = fields_of(name, "one"), fields_of(name, "other")
    differing = {field for field in one if one[field] != other[field]}
    assert differing - {"md5OfBody"} == set(OF_A_JOB) & one.keys() - {"kinesis eventID"}


@pytest.mark.parametrize("form", [UUID, REQUEST_ID, HOST_ID, RECEIPT, SIGNATURE, TASK_ID])
def test_ids_of_items_are_unique(form: Form) -> None:
    identifiers = urandom(16 * 10_000)
    made = ids(form, "field", "job")
    assert len(set(made(identifiers))) == 10_000
    assert made(identifiers)[7:8] == made(identifiers[16 * 7 : 16 * 8])
    assert not set(made(identifiers)) & set(ids(form, "other field", "job")(identifiers))
