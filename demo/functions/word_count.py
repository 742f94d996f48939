"""A Lambda function for live S3 events: counts the words of every object in an event."""

import hashlib
import json
import os
from typing import Any
from urllib.parse import unquote_plus

import boto3

_s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> None:
    """Write one summary per object and call: an object that is called twice has two."""
    for record in event.get("Records", []):  # the test event of a new trigger has none
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])
        summary = {"key": key, **count(_s3.get_object(Bucket=bucket, Key=key)["Body"].read())}
        _s3.put_object(
            Bucket=os.environ["OUTPUT_BUCKET"],
            Key=f"{output_folder(key)}/{context.aws_request_id}.json",
            Body=json.dumps(summary).encode(),
        )
        print(json.dumps(summary))


def count(text: bytes) -> dict[str, int]:
    """Return the numbers of lines, words and bytes of a text."""
    return {"lines": text.count(b"\n"), "words": len(text.split()), "bytes": len(text)}


def output_folder(key: str) -> str:
    """Return the folder of an object's summaries: one per key, of any length."""
    return hashlib.sha256(key.encode()).hexdigest()
