"""The items of a call, and their S3 event as a user builds it: with dictionaries and json.dumps.

It imports only pure modules, because one contender has its own environment.
"""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from retrofill.aws.objects import pack, unpack
from retrofill.engine.identity import identifier_of
from retrofill.events import EventContext
from retrofill.events.s3.form import OBJECT
from retrofill.model.function import Pinned
from retrofill.model.items import Item

BUCKET = "camera-uploads"
SOURCE = f"s3://{BUCKET}"
TRIGGER_ID = "thumbnails"
CONTEXT = EventContext(
    form=OBJECT,
    place={"bucket": BUCKET},
    function=Pinned(
        kind="aws_lambda",
        name="arn:aws:lambda:eu-west-1:123456789012:function:thumbnail",
        version="1",
        timeout_s=3,
    ),
    trigger={"configurations": [{"id": TRIGGER_ID}]},
    job="thumbnails-2019",
    run_id=1,
)


def items(count: int) -> list[Item]:
    """Return items that the job does not know."""
    identify = identifier_of(SOURCE)
    start = datetime(2019, 9, 3, 19, 37, 27, tzinfo=UTC)
    found = []
    for number in range(count):
        key = f"incoming/2019/09/03/camera-{number:03}/20190903T193727.jpg"
        written_at = start + timedelta(seconds=number)
        content = pack(1_000_000 + number, written_at, f"{number:032x}", "")
        found.append(Item(identifier=identify(key, ""), key=key, content=content))
    return found


def encode(call: list[Item]) -> bytes:
    """Encode the event of a call in the usual way, without a template."""
    return json.dumps({"Records": [_record(item) for item in call]}).encode()


def _record(item: Item) -> dict[str, Any]:
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
            "configurationId": TRIGGER_ID,
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
