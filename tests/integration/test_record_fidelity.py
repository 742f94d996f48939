"""Our messages, stream records and rows, compared with those of live triggers.

A queue, a stream and a table of the emulator feed a real function, which records its events.
Our event is built from what a source would read of the same record. This file must explain every
field that differs from the live event.
"""

import io
import json
import time
import zipfile
from typing import Any

import boto3
import pytest
from retrofill.events import compile_shape
from retrofill.model.items import Item

from tests.given import s3_context
from tests.integration.test_event_fidelity import differences

NAME = "record-fidelity"
ACCOUNT = "000000000000"
CODE = f"""
import json, boto3

def handler(event, context):
    boto3.client("s3").put_object(
        Bucket="{NAME}", Key=context.aws_request_id, Body=json.dumps(event)
    )
"""
BODY = 'a body with "quotes", é and \U0001f600'
ROW = {"Id": {"S": "101"}, "Size": {"N": "7"}, "Text": {"S": "é"}}
KEYS = {"Id": ROW["Id"]}
WITHIN_S = 60
SOURCES = {"aws:sqs": "sqs", "aws:kinesis": "kinesis", "aws:dynamodb": "dynamodb"}

SYNTHETIC = "the source of a backfill does not have it, so it is synthetic"
WHEN = "the live one is when the emulator took it, ours when the test did"
EXPLAINED = {
    "sqs": {
        "messageId": SYNTHETIC,
        "receiptHandle": "ours was never in this queue",
        "attributes.SentTimestamp": WHEN,
        "attributes.ApproximateFirstReceiveTimestamp": WHEN,
        "attributes.SenderId": SYNTHETIC,
    },
    "kinesis": {
        "kinesis.approximateArrivalTimestamp": WHEN,
        "invokeIdentityArn": "the role that reads the stream; ours names itself",
    },
    "dynamodb": {
        "eventID": SYNTHETIC,
        "eventVersion": "AWS sends 1.1, as was recorded there; the emulator says 1.0",
        "dynamodb.ApproximateCreationDateTime": WHEN,
        "dynamodb.SequenceNumber": SYNTHETIC,
        "dynamodb.SizeBytes": "the emulator counts the JSON's bytes; AWS those of names and values",
    },
}


@pytest.fixture(scope="module")
def live(aws: str, aws_session: boto3.Session) -> dict[str, Any]:
    """Put one record into each source; return the resulting event, by shape."""

    def client(name: str) -> Any:
        return aws_session.client(name, endpoint_url=aws)

    s3, functions = client("s3"), client("lambda")
    s3.create_bucket(Bucket=NAME)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    functions.create_function(
        FunctionName=NAME,
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="index.handler",
        Code={"ZipFile": package.getvalue()},
        Timeout=30,
    )
    queue = client("sqs").create_queue(QueueName=NAME)["QueueUrl"]
    client("kinesis").create_stream(StreamName=NAME, ShardCount=1)
    table = client("dynamodb").create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    for arn, more in (
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:{NAME}", {}),
        (
            f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{NAME}",
            {"StartingPosition": "TRIM_HORIZON"},
        ),
        (table["LatestStreamArn"], {"StartingPosition": "TRIM_HORIZON"}),
    ):
        functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=NAME, **more)
    client("sqs").send_message(QueueUrl=queue, MessageBody=BODY)
    client("kinesis").put_record(StreamName=NAME, PartitionKey="p-1", Data=b"\x00data\xff")
    client("dynamodb").put_item(TableName=NAME, Item=ROW)
    came: dict[str, Any] = {}
    deadline = time.monotonic() + WITHIN_S
    while len(came) < len(SOURCES):
        assert time.monotonic() < deadline, f"only {sorted(came)} came"
        time.sleep(0.2)
        for entry in s3.list_objects_v2(Bucket=NAME).get("Contents", []):
            event = json.loads(s3.get_object(Bucket=NAME, Key=entry["Key"])["Body"].read())
            came[SOURCES[event["Records"][0]["eventSource"]]] = event
    return came


def content_of(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return what a source would read of the record: its data, without delivery facts."""
    match name:
        case "sqs":
            return {"body": BODY, "SentTimestamp": record["attributes"]["SentTimestamp"]}
        case "kinesis":
            delivered = record["kinesis"]
            shard = record["eventID"].partition(":")[0]
            return {
                "shardId": shard,
                "partitionKey": "p-1",
                "sequenceNumber": delivered["sequenceNumber"],
                "data": delivered["data"],
                "approximateArrivalTimestamp": delivered["approximateArrivalTimestamp"],
            }
        case _:
            delivered = record["dynamodb"]
            return {
                "Keys": KEYS,
                "NewImage": ROW,
                "SizeBytes": delivered["SizeBytes"],
                "ApproximateCreationDateTime": delivered["ApproximateCreationDateTime"],
            }


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_difference_from_the_live_event_is_explained(name: str, live: dict[str, Any]) -> None:
    (record,) = live[name]["Records"]
    context = s3_context(
        bucket="b",
        configuration_id="c",
        function_arn=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{NAME}",
        job="j",
        run_id=1,
        queue=record["eventSourceARN"],
        stream=record["eventSourceARN"],
    )
    item = Item(bytes(16), "k", json.dumps(content_of(name, record)))
    shape = compile_shape(name, context)
    ours = json.loads(shape.body([item]))
    explained = {f"Records[0].{path}" for path in EXPLAINED[name]}
    differing = differences(live[name], ours)
    unexplained = {path: differing[path] for path in differing.keys() - explained}
    assert not unexplained, "(live, ours)"
