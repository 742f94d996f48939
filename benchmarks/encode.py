"""The cost of encoding an item's event: our compiled shapes against dictionaries and json.dumps.

Run ``python -m benchmarks.encode``. Both encode the same calls of 100 items, in turns in one
process. Each figure is the lowest CPU time of several rounds.
"""

import gc
import hashlib
import json
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from timeit import Timer
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

from retrofill.aws.objects import pack, unpack
from retrofill.engine.identity import identifier_of
from retrofill.events import EventContext, compile_shape
from retrofill.events.s3.form import OBJECT
from retrofill.model.function import Pinned
from retrofill.model.items import Item, ItemColumns

from benchmarks.table import table

ITEMS_PER_CALL = 100
CALLS = 20
ROUNDS = 15

BUCKET = "camera-uploads"
SOURCE = f"s3://{BUCKET}"
CONTEXT = EventContext(
    form=OBJECT,
    place={"bucket": BUCKET},
    function=Pinned(
        kind="aws_lambda",
        name="arn:aws:lambda:eu-west-1:123456789012:function:thumbnail",
        version="1",
        timeout_s=3,
    ),
    trigger={
        "configurations": [{"id": "thumbnails"}],
        "queue_arn": "arn:aws:sqs:eu-west-1:123456789012:camera-uploads",
    },
    job="thumbnails-2019",
    run_id=1,
)
KEYS = {
    "plain keys": "incoming/2019/09/03/camera-{:03}/20190903T193727.jpg",
    "keys to be quoted": "incoming/dt=2019-09-03/camera {:03}/2019-09-03T19:37:27.jpg",
}


def items(key: str, count: int = ITEMS_PER_CALL) -> list[Item]:
    """Return items that the job does not know."""
    identify = identifier_of(SOURCE)
    start = datetime(2019, 9, 3, 19, 37, 27, tzinfo=UTC)
    return [
        Item(
            identifier=identify(key.format(number), ""),
            key=key.format(number),
            content=pack(
                1_000_000 + number, start + timedelta(seconds=number), f"{number:032x}", ""
            ),
        )
        for number in range(count)
    ]


def s3_record(item: Item) -> dict[str, Any]:
    """Build the record of an item in the usual way, without a template."""
    facts = unpack(item.content)
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": facts.modified_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": item.identifier.hex()[:16].upper(),
            "x-amz-id-2": b64encode(item.identifier * 3).decode(),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": CONTEXT.trigger["configurations"][0]["id"],
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{BUCKET}",
            },
            "object": {
                "key": quote_plus(item.key, safe="/"),
                "size": facts.size,
                "eTag": facts.etag,
                "sequencer": f"{int(facts.modified_at.timestamp() * 1_000_000):018X}",
            },
        },
    }


def sqs_record(item: Item) -> dict[str, Any]:
    """Build the record of an item that arrives via SQS."""
    body = json.dumps({"Records": [s3_record(item)]})
    sent = str(int(unpack(item.content).modified_at.timestamp() * 1_000))
    return {
        "messageId": str(UUID(bytes=item.identifier)),
        "receiptHandle": b64encode(item.identifier * 15).decode(),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": CONTEXT.trigger["queue_arn"],
        "awsRegion": "eu-west-1",
    }


PLAINLY = {"s3": s3_record, "s3-sqs": sqs_record}


def compare(name: str, call: list[Item]) -> list[float]:
    """Return the cost of an item with our shape, and with dictionaries and json.dumps, in µs."""
    shape, plainly = compile_shape(name, CONTEXT), PLAINLY[name]
    columns = ItemColumns.of(call)  # as they come from the state

    def ours() -> bytes:
        return shape.body(columns)

    def dictionaries() -> bytes:
        return json.dumps({"Records": [plainly(item) for item in call]}).encode()

    timers = [Timer(encode, gc.enable, time.process_time) for encode in (ours, dictionaries)]
    rounds = [[timer.timeit(CALLS) for timer in timers] for _ in range(ROUNDS)]
    return [min(one) * 1_000_000 / CALLS / len(call) for one in zip(*rounds, strict=True)]


def main() -> None:
    """Print the table."""
    rows = []
    for name in PLAINLY:
        for kind, key in KEYS.items():
            ours, dictionaries = compare(name, items(key))
            ratio = f"{dictionaries / ours:.1f}x"
            rows.append([f"{name}, {kind}", f"{ours:.2f}", f"{dictionaries:.2f}", ratio])
    print(*table(("CPU µs per item", "ours", "json.dumps", "ratio"), rows), sep="\n")


if __name__ == "__main__":
    main()
