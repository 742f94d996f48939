"""The shapes of messages, stream records and rows, compared with AWS's own events."""

import json
from typing import Any

import pytest
from retrofill.events import SHAPES, CompiledShape, EventContext, compile_shape
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item

from tests.given import s3_context
from tests.unit.test_events import FACTS
from tests.unit.test_events_recorded import SQS, outline

NUMBER = "49590338271490256608559692538361571095921575989136588898"
# These have the fields of events that AWS documents or that functions logged, with synthetic
# values.
KINESIS = """{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1",
"sequenceNumber":"49590338271490256608559692538361571095921575989136588898",
"data":"SGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis",
"eventVersion":"1.0","eventID":"shardId-000000000006:495903382714902566085596925383615710",
"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/r",
"awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}]}"""
DYNAMODB = """{"Records":[{"eventID":"c9fbe7d0261a5163fcb6940593e41797","eventName":"INSERT",
"eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{
"ApproximateCreationDateTime":1693997155.0,"Keys":{"Id":{"N":"101"}},
"NewImage":{"Id":{"N":"101"},"Message":{"S":"New item!"}},
"SequenceNumber":"111","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
"eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/T/stream/2015-05-11T21:21:33"}]}"""

OF_RECORDS = tuple(name for name, shape in SHAPES.items() if shape.content)
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/T/stream/2015-05-11T21:21:33.291"
ROW = {
    "Keys": {"Id": {"N": "101"}}, "NewImage": {"Id": {"N": "101"}, "Message": {"S": "é"}},
    "SizeBytes": 26, "ApproximateCreationDateTime": 1545084650.0,
}  # fmt: skip
CONTENTS: dict[str, dict[str, Any]] = {
    "sqs": {"body": 'a body with "quotes" and é', "SentTimestamp": "1545084650987"},
    "kinesis": {
        "shardId": "shardId-000000000006", "partitionKey": "1", "sequenceNumber": NUMBER,
        "data": "SGVsbG8=", "approximateArrivalTimestamp": 1545084650.987,
    },
    "dynamodb": ROW,
}  # fmt: skip


QUEUE = FACTS["queue_arn"]


def context(name: str) -> EventContext:
    return s3_context(
        **{**FACTS, "stream": TABLE if name == "dynamodb" else STREAM, "queue": QUEUE}
    )


def shape(name: str) -> CompiledShape:
    return compile_shape(name, context(name))


def item(name: str, **changed: Any) -> Item:
    return Item(bytes(range(16)), "key", json.dumps({**CONTENTS[name], **changed}))


def event(name: str) -> Any:
    return json.loads(shape(name).body([item(name)]))


@pytest.mark.parametrize(
    ("name", "recorded"), [("sqs", SQS), ("kinesis", KINESIS), ("dynamodb", DYNAMODB)]
)
def test_names_order_and_types_equal_those_of_aws(name: str, recorded: str) -> None:
    if name == "dynamodb":  # the row's content is synthetic
        recorded = recorded.replace("New item!", "é")
    assert outline(event(name)) == outline(json.loads(recorded))


def test_content_is_passed_unchanged() -> None:
    assert event("sqs")["Records"][0]["body"] == CONTENTS["sqs"]["body"]
    record = event("kinesis")["Records"][0]
    assert record["kinesis"]["data"] == "SGVsbG8="
    assert record["kinesis"]["approximateArrivalTimestamp"] == 1545084650.987
    assert record["eventID"] == f"shardId-000000000006:{NUMBER}"
    row = event("dynamodb")["Records"][0]["dynamodb"]
    assert (row["Keys"], row["NewImage"]) == (ROW["Keys"], ROW["NewImage"])
    assert (row["SizeBytes"], row["ApproximateCreationDateTime"]) == (26, 1545084650.0)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_the_response_identifier_is_in_the_event(name: str) -> None:
    said = shape(name).identifier_in_event(item(name))
    record = event(name)["Records"][0]
    numbers = {
        "sqs": lambda: record["messageId"],
        "kinesis": lambda: record["kinesis"]["sequenceNumber"],
        "dynamodb": lambda: record["dynamodb"]["SequenceNumber"],
    }
    assert numbers[name]() == said


def test_later_rows_have_larger_numbers() -> None:
    rows = [item("dynamodb", ApproximateCreationDateTime=second)
            for second in (631152000, 1545084650.5, 1545084651)]  # fmt: skip
    numbers = [int(shape("dynamodb").identifier_in_event(row)) for row in rows]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", OF_RECORDS)
def test_no_record_exceeds_the_maximum_length(name: str) -> None:
    short, long = item(name), item(name, body="x" * 999, data="x" * 999, SizeBytes=10**18)
    assert shape(name).longest([short, long]) >= len(shape(name).record(long))
    assert shape(name).longest([]) == 0


@pytest.mark.parametrize("name", OF_RECORDS)
def test_an_item_without_content_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"event: the shape {name} needs"):
        shape(name).record(item(name)._replace(content=""))


@pytest.mark.parametrize("name", ["kinesis", "dynamodb"])
@pytest.mark.parametrize("arn", ["", "arn:aws:s3:::photos"])
def test_a_stream_needs_its_arn(name: str, arn: str) -> None:
    with pytest.raises(ConfigError, match=f"stream_arn: '{arn}' is not allowed .* arn:aws:{name}:"):
        compile_shape(name, s3_context(**{**FACTS, "stream": arn}))
