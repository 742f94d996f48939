"""The event shapes, compared with plain dictionaries built from the same item."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.objects import ObjectFacts, pack, unpack
from retrofill.events import MAX_ITEMS, compile_shape, offered
from retrofill.events import SHAPES as ALL_SHAPES
from retrofill.events.s3.batch_operations import TASK_ID
from retrofill.events.s3.fields import BUCKET_OWNER, HOST_ID, REQUEST_ID
from retrofill.events.s3.imitation import Relay
from retrofill.events.s3.relays import RECEIPT, SIGNATURE
from retrofill.events.synthetic import UUID as UUID_FORM
from retrofill.events.synthetic import Form, ids, one_id
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item

from tests.given import s3_context

SHAPES = tuple(shape.name for shape in offered("object") if shape.is_carried_by(["aws_lambda"]))
TOPIC = "arn:aws:sns:eu-west-2:123456789012:photos"
FACTS: dict[str, Any] = {
    "bucket": "photos",
    "configuration_id": 'new "photos"\0 100%s',
    "function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:thumbnail",
    "job": "thumbnails-2019",
    "run_id": 12,
    "queue_arn": "arn:aws:sqs:eu-central-1:123456789012:photos.fifo",
    "topic_arn": TOPIC,
    "subscription_arn": f"{TOPIC}:21be56ed-a058-49f5-8c98-aedd2564c486",
}
CONTEXT = s3_context(**FACTS)
ITEM = Item(
    bytes(range(16)),
    "2019/09/red flower.jpg",
    pack(
        1_305_107,
        datetime(2019, 9, 3, 19, 37, 27, 192_000, tzinfo=UTC),
        "b21b84d653bb07b05b1e6b33684dc11b",
        "",
    ),
)
SUBJECT = "Amazon S3 Notification"
PRINCIPAL = "AIDARETROFILLREPLAYED"
CERTIFICATE = f"https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-{'0' * 32}.pem"
UNSUBSCRIBE = (
    "https://sns.eu-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn="
    f"{FACTS['subscription_arn']}"
)
ONE_ITEM = ("eventbridge", "s3-batch-1.0", "s3-batch-2.0")
LISTS = tuple(name for name in SHAPES if name not in ONE_ITEM)

EPOCH, FAR_AHEAD = datetime(1970, 1, 1), datetime(2106, 1, 1)  # noqa: DTZ001  hypothesis adds UTC
items = st.builds(
    Item,
    st.binary(min_size=16, max_size=16),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.builds(
        pack,
        st.integers(0, 5 * 2**40),
        st.datetimes(EPOCH, FAR_AHEAD, timezones=st.just(UTC)),
        st.sampled_from(["", "d41d8cd98f00b204e9800998ecf8427e", "9b2cf535f27731c9-38", 'a"b\\']),
        st.sampled_from(["", "null", "096fKKXTRTtl3on89fVO.nfljtsv6qko", "é"]),
    ),
)


def facts(item: Item) -> ObjectFacts:
    return unpack(item.content)


def changed(item: Item, **facts: Any) -> Item:
    """Return the item with other facts."""
    return item._replace(content=pack(**{**unpack(item.content)._asdict(), **facts}))


def time_of(item: Item) -> str:
    moment = facts(item).modified_at
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment:%f}"[:3] + "Z"


def sequencer_of(item: Item) -> str:
    since = facts(item).modified_at - datetime(1970, 1, 1, tzinfo=UTC)
    return f"{since // timedelta(seconds=1):010X}{since.microseconds:08X}"


def uuid_of(item: Item) -> str:
    return str(UUID(bytes=item.identifier))


def synthetic(item: Item, form: Form, name: str) -> str:
    return ids(form, name, FACTS["job"])(item.identifier)[0]


def s3_record(item: Item) -> dict[str, Any]:
    created = "CompleteMultipartUpload" if "-" in facts(item).etag else "Put"
    stored = {
        "key": quote_plus(item.key, safe="/"),
        "size": facts(item).size,
        "eTag": facts(item).etag,
        **({"versionId": facts(item).version_id} if facts(item).version_id else {}),
        "sequencer": sequencer_of(item),
    }
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": time_of(item),
        "eventName": f"ObjectCreated:{created}",
        "userIdentity": {"principalId": f"AWS:{PRINCIPAL}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": synthetic(item, REQUEST_ID, "x-amz-request-id"),
            "x-amz-id-2": synthetic(item, HOST_ID, "x-amz-id-2"),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": FACTS["configuration_id"],
            "bucket": {
                "name": "photos",
                "ownerIdentity": {"principalId": one_id(BUCKET_OWNER, "owner", "123456789012")},
                "arn": "arn:aws:s3:::photos",
            },
            "object": stored,
        },
    }


def s3_text(item: Item) -> str:
    return json.dumps({"Records": [s3_record(item)]}, separators=(",", ":"))


def sqs_record(item: Item, body: str) -> dict[str, Any]:
    since = facts(item).modified_at - datetime(1970, 1, 1, tzinfo=UTC)
    sent = str(since // timedelta(milliseconds=1))
    return {
        "messageId": synthetic(item, UUID_FORM, "messageId"),
        "receiptHandle": synthetic(item, RECEIPT, "receiptHandle"),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": PRINCIPAL,
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:photos.fifo",
        "awsRegion": "eu-central-1",
    }


def sns_record(item: Item, message: str, subject: str | None) -> dict[str, Any]:
    return {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": FACTS["subscription_arn"],
        "Sns": {
            "Type": "Notification",
            "MessageId": synthetic(item, UUID_FORM, "MessageId"),
            "TopicArn": FACTS["topic_arn"],
            "Subject": subject,
            "Message": message,
            "Timestamp": time_of(item),
            "SignatureVersion": "1",
            "Signature": synthetic(item, SIGNATURE, "Signature"),
            "SigningCertUrl": CERTIFICATE,
            "UnsubscribeUrl": UNSUBSCRIBE,
            "MessageAttributes": {},
        },
    }


def sns_text(item: Item, message: str, subject: str | None) -> str:
    said = {
        "Type": "Notification",
        "MessageId": synthetic(item, UUID_FORM, "MessageId"),
        "TopicArn": FACTS["topic_arn"],
        **({"Subject": subject} if subject else {}),
        "Message": message,
        "Timestamp": time_of(item),
        "SignatureVersion": "1",
        "Signature": synthetic(item, SIGNATURE, "Signature"),
        "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": UNSUBSCRIBE,
    }
    return json.dumps(said, indent=2, separators=(",", " : "))


def eventbridge_event(item: Item) -> dict[str, Any]:
    return {
        "version": "0",
        "id": synthetic(item, UUID_FORM, "id"),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": facts(item).modified_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "eu-west-1",
        "resources": ["arn:aws:s3:::photos"],
        "detail": {
            "version": "0",
            "bucket": {"name": "photos"},
            "object": {
                "key": item.key,
                "size": facts(item).size,
                "etag": facts(item).etag,
                **({"version-id": facts(item).version_id} if facts(item).version_id else {}),
                "sequencer": sequencer_of(item),
            },
            "request-id": synthetic(item, REQUEST_ID, "x-amz-request-id"),
            "requester": "123456789012",
            "source-ip-address": "127.0.0.1",
            "reason": "CompleteMultipartUpload" if "-" in facts(item).etag else "PutObject",
        },
    }


def eventbridge_text(item: Item) -> str:
    return json.dumps(eventbridge_event(item), separators=(",", ":"))


def batch_request(item: Item, schema: str, bucket: dict[str, str]) -> dict[str, Any]:
    return {
        "invocationSchemaVersion": schema,
        "invocationId": synthetic(item, TASK_ID, "task"),
        "job": {"id": one_id(UUID_FORM, "job", FACTS["job"])},
        "tasks": [
            {
                "taskId": synthetic(item, TASK_ID, "task"),
                "s3Key": quote(item.key, safe="/"),
                "s3VersionId": facts(item).version_id or None,
                **bucket,
            }
        ],
    }


def plain_item(item: Item) -> dict[str, Any]:
    return {
        "identifier": uuid_of(item),
        "bucket": "photos",
        "key": item.key,
        "size": facts(item).size,
        "modified_at": time_of(item),
        "etag": facts(item).etag,
        "version_id": facts(item).version_id or None,
    }


def records(record: Callable[[Item], dict[str, Any]]) -> Callable[[list[Item]], dict[str, Any]]:
    return lambda items: {"Records": [record(item) for item in items]}


PLAINLY: dict[str, Callable[[list[Item]], dict[str, Any]]] = {
    "s3": records(s3_record),
    "s3-sqs": records(lambda item: sqs_record(item, s3_text(item))),
    "s3-sns": records(lambda item: sns_record(item, s3_text(item), SUBJECT)),
    "s3-sns-sqs": records(lambda item: sqs_record(item, sns_text(item, s3_text(item), SUBJECT))),
    "eventbridge": lambda items: eventbridge_event(items[0]),
    "eventbridge-sqs": records(lambda item: sqs_record(item, eventbridge_text(item))),
    "eventbridge-sns": records(lambda item: sns_record(item, eventbridge_text(item), None)),
    "eventbridge-sns-sqs": records(
        lambda item: sqs_record(item, sns_text(item, eventbridge_text(item), None))
    ),
    "s3-batch-1.0": lambda items: batch_request(
        items[0], "1.0", {"s3BucketArn": "arn:aws:s3:::photos"}
    ),
    "s3-batch-2.0": lambda items: batch_request(items[0], "2.0", {"s3Bucket": "photos"}),
    "items": lambda items: {"items": [plain_item(item) for item in items]},
}


def in_order(value: Any) -> Any:
    """Return a value whose equality also compares the order of names."""
    if isinstance(value, dict):
        return [(name, in_order(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [in_order(inner) for inner in value]
    return value


def test_every_shape_has_a_plain_copy_here() -> None:
    assert tuple(PLAINLY) == SHAPES


@pytest.mark.parametrize("name", LISTS)
@given(items=st.lists(items, min_size=1, max_size=4))
def test_lists_equal_their_plain_copies(name: str, items: list[Item]) -> None:
    shape = compile_shape(name, CONTEXT)
    body = shape.body(items)
    assert in_order(json.loads(body)) == in_order(PLAINLY[name](items))


@pytest.mark.parametrize("name", ONE_ITEM)
@given(item=items)
def test_single_events_equal_their_plain_copies(name: str, item: Item) -> None:
    shape = compile_shape(name, CONTEXT)
    body = shape.body([item])
    assert in_order(json.loads(body)) == in_order(PLAINLY[name]([item]))


@pytest.mark.parametrize("name", SHAPES)
@given(items=st.lists(items, min_size=1, max_size=4))
def test_the_size_is_known_before_the_payload_is_built(name: str, items: list[Item]) -> None:
    shape = compile_shape(name, CONTEXT)
    items = items[: shape.max_items]
    records = shape.records(items)
    assert records == [shape.record(item) for item in items]
    assert len(shape.body(items)) == shape.overhead + sum(map(len, records)) + len(records) - 1


@pytest.mark.parametrize("name", SHAPES)
@given(items=st.lists(items, min_size=1, max_size=4))
def test_no_record_exceeds_the_maximum_length(name: str, items: list[Item]) -> None:
    shape = compile_shape(name, CONTEXT)
    assert max(len(shape.record(item)) for item in items) <= shape.longest(items)


@pytest.mark.parametrize("character", ["\U0001f600", '"', "\\", "\x01", "\u20ac", "%", "a"])
@pytest.mark.parametrize("name", SHAPES)
def test_texts_of_the_longest_characters_stay_within_the_maximum(name: str, character: str) -> None:
    text = character * 200
    worst = changed(ITEM._replace(key=text), etag=f"{text}-", version_id=text, size=2**63 - 1)
    shape = compile_shape(name, CONTEXT)
    assert len(shape.record(worst)) <= shape.longest([worst])


@pytest.mark.parametrize("name", SHAPES)
def test_same_item_and_context_give_the_same_bytes(name: str) -> None:
    once, again = compile_shape(name, CONTEXT), compile_shape(name, replace(CONTEXT))
    assert once.record(ITEM) == again.record(ITEM)


@pytest.mark.parametrize("name", SHAPES)
def test_the_time_zone_of_a_time_does_not_matter(name: str) -> None:
    shape = compile_shape(name, CONTEXT)
    elsewhere = facts(ITEM).modified_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert shape.record(changed(ITEM, modified_at=elsewhere)) == shape.record(ITEM)


@pytest.mark.parametrize("name", SHAPES)
def test_the_identifier_is_a_value_in_the_event(name: str) -> None:
    shape = compile_shape(name, CONTEXT)
    identifier = shape.identifier_in_event(ITEM)
    assert f'"{identifier}"' in shape.record(ITEM)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("s3-sqs", ("Records", 0, "messageId")),
        ("s3-sns-sqs", ("Records", 0, "messageId")),
        ("eventbridge-sqs", ("Records", 0, "messageId")),
        ("eventbridge-sns-sqs", ("Records", 0, "messageId")),
        ("s3-batch-1.0", ("tasks", 0, "taskId")),
        ("s3-batch-2.0", ("tasks", 0, "taskId")),
        ("items", ("items", 0, "identifier")),
    ],
)
def test_responses_name_items_as_their_contract_requires(
    name: str, path: tuple[str | int, ...]
) -> None:
    shape = compile_shape(name, CONTEXT)
    value = json.loads(shape.body([ITEM]))
    for step in path:
        value = value[step]
    assert value == shape.identifier_in_event(ITEM)


def test_sequencer_grows_with_each_version_of_a_key() -> None:
    def sequencer(moment: datetime) -> str:
        event = compile_shape("s3", CONTEXT).record(changed(ITEM, modified_at=moment))
        text: str = json.loads(event)["s3"]["object"]["sequencer"]
        return text

    start = datetime(2001, 9, 9, 1, 46, 39, 999_999, tzinfo=UTC)
    times = [start + timedelta(microseconds=1) * 7**power for power in range(20)]
    sequencers = [sequencer(moment) for moment in times]
    assert sequencers == sorted(set(sequencers))
    assert all(int(text, 16) and len(text) == 18 for text in sequencers)


def test_the_aws_partition_is_the_functions() -> None:
    arn = "arn:aws-cn:lambda:cn-north-1:123456789012:function:f"
    shape = compile_shape("s3", s3_context(**{**FACTS, "function_arn": arn}))
    assert json.loads(shape.record(ITEM))["s3"]["bucket"]["arn"] == "arn:aws-cn:s3:::photos"


def test_s3_batch_keys_survive_both_decodings() -> None:
    shape = compile_shape("s3-batch-2.0", CONTEXT)
    record = json.loads(shape.record(ITEM._replace(key="a b+c%20d")))
    assert record["tasks"][0]["s3Key"] == "a%20b%2Bc%2520d"


def test_arguments_are_in_their_field() -> None:
    context = s3_context(**{**FACTS, "arguments": {"size": 'é "100%"'}})
    batch = compile_shape("s3-batch-2.0", context)
    assert json.loads(batch.record(ITEM))["job"]["userArguments"] == {"size": 'é "100%"'}
    plain = compile_shape("items", context)
    body = plain.body([ITEM])
    assert json.loads(body) == {"arguments": {"size": 'é "100%"'}, "items": [plain_item(ITEM)]}
    assert len(body) == plain.overhead + len(plain.record(ITEM))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"n": 5},
            "arguments: 'n' is 5, which is not allowed; give a text of at most 1024 characters",
        ),
        ({"n": "x" * 1_025}, "give a text of at most 1024 characters"),
        ({"": "x"}, "the name '' with 0 characters is not allowed; give 1 to 64"),
        ({"x" * 65: "x"}, "with 65 characters is not allowed; give 1 to 64"),
        ({str(n): "x" for n in range(11)}, "arguments: there are 11; give at most 10"),
    ],
)
def test_arguments_beyond_the_limits_of_s3_batch_are_refused(
    arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_shape("s3-batch-2.0", s3_context(**{**FACTS, "arguments": arguments}))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [n for n in SHAPES if n not in {"s3-batch-2.0", "items"}])
def test_arguments_are_refused_if_the_event_has_no_field_for_them(name: str) -> None:
    with pytest.raises(ConfigError, match=f"arguments: the event shape {name} has no place"):
        compile_shape(name, s3_context(**{**FACTS, "arguments": {"a": "b"}}))


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="event: 's4' is not allowed; give one of s3, s3-sqs"):
        compile_shape("s4", CONTEXT)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("s3-sqs", "queue_arn"),
        ("s3-sns", "topic_arn"),
        ("s3-sns-sqs", "queue_arn"),
        ("s3-sns-sqs", "topic_arn"),
        ("eventbridge-sqs", "queue_arn"),
        ("eventbridge-sns", "topic_arn"),
        ("eventbridge-sns-sqs", "topic_arn"),
    ],
)
@pytest.mark.parametrize("arn", ["", "queue", "arn:aws:s3:::photos"])
def test_a_relay_needs_the_arn_of_its_service(name: str, field: str, arn: str) -> None:
    facts: dict[str, Any] = {field: arn}
    with pytest.raises(ConfigError, match=f"{field}: '{arn}' is not allowed .* arn:aws:s[qn]s:"):
        compile_shape(name, s3_context(**{**FACTS, **facts}))


@pytest.mark.parametrize("name", SHAPES)
def test_a_call_carries_at_most_what_its_shape_allows(name: str) -> None:
    shape = compile_shape(name, CONTEXT)
    assert shape.max_items == (1 if name in ONE_ITEM else MAX_ITEMS)
    assert 1 <= ALL_SHAPES[name].default_items <= shape.max_items
    for count in (0, shape.max_items + 1):
        with pytest.raises(ValueError, match=f"{count} items in a call of shape {name}"):
            shape.body([ITEM] * count)


def test_each_shape_has_the_contract_of_its_live_trigger() -> None:
    contracts = {
        name: shape.answer
        for name, shape in ALL_SHAPES.items()
        if not name.startswith("cloudevents")
    }
    assert contracts == {
        "s3": Contract.RETURN,
        "s3-sqs": Contract.BATCH_ITEM_FAILURES,
        "s3-sns": Contract.RETURN,
        "s3-sns-sqs": Contract.BATCH_ITEM_FAILURES,
        "eventbridge": Contract.RETURN,
        "eventbridge-sqs": Contract.BATCH_ITEM_FAILURES,
        "eventbridge-sns": Contract.RETURN,
        "eventbridge-sns-sqs": Contract.BATCH_ITEM_FAILURES,
        "s3-batch-1.0": Contract.S3_BATCH,
        "s3-batch-2.0": Contract.S3_BATCH,
        "items": Contract.RETURN,
        "sqs": Contract.BATCH_ITEM_FAILURES,
        "kinesis": Contract.CHECKPOINT,
        "dynamodb": Contract.CHECKPOINT,
    }


def test_a_shape_has_the_name_it_is_registered_by() -> None:
    assert [shape.name for shape in ALL_SHAPES.values()] == list(ALL_SHAPES)


def test_each_route_has_one_shape() -> None:
    imitated = [one.imitation for one in ALL_SHAPES.values() if one.imitation]
    ways = [(one.sender, relay) for one in imitated for relay in one.relays]
    senders = {sender for sender, _ in ways}
    assert len(ways) == len(set(ways)) == len(senders) * len(Relay)


def test_each_item_has_the_id_of_its_matching_configuration() -> None:
    configurations = [
        {"id": "copied", "events": ["s3:ObjectCreated:Copy"], "prefix": "in/"},
        {"id": "parts", "events": ["s3:ObjectCreated:CompleteMultipartUpload"], "prefix": "in/"},
        {"id": 'a "put"', "events": ["s3:ObjectCreated:Put"], "prefix": "in/"},
        {"id": "png", "suffix": ".png"},
    ]
    context = s3_context(**{**FACTS, "configuration_id": ""}, configurations=configurations)
    in_parts = changed(ITEM, etag="9b2cf535f27731c9-38")
    keys = ["in/a.jpg", "in/b.jpg", "c.png", "none"]
    items = [one._replace(key=key) for key in keys for one in (ITEM, in_parts)]
    body = compile_shape("s3", context).body(items)
    matched = [one["s3"]["configurationId"] for one in json.loads(body)["Records"]]
    assert matched == ['a "put"', "parts", 'a "put"', "parts", "png", "png", "copied", "copied"]


@pytest.mark.parametrize("name", ALL_SHAPES)
def test_a_shape_that_needs_a_trigger_has_a_route(name: str) -> None:
    shape = ALL_SHAPES[name]
    assert shape.imitation or not shape.needs_trigger
    assert not (shape.imitation and shape.content), "a bucket's triggers send no records"
