"""The keys of the items in an invocation's event.

It reads the events of S3 (also through EventBridge), S3 Batch Operations 1.0 and 2.0, and plain
lists of items; see https://docs.aws.amazon.com/lambda/latest/dg/with-s3.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html.
"""

from typing import Any
from urllib.parse import unquote_plus

import msgspec


class _Item(msgspec.Struct, gc=False):
    key: str
    size: Any = 0


class _S3(msgspec.Struct, gc=False):
    object: _Item


class _Record(msgspec.Struct, gc=False):
    s3: _S3


class _Task(msgspec.Struct, gc=False):
    key: str = msgspec.field(name="s3Key")


class _Event(msgspec.Struct, gc=False):
    records: tuple[_Record, ...] = msgspec.field(name="Records", default=())
    detail: _S3 | None = None
    tasks: tuple[_Task, ...] = ()
    items: tuple[_Item | str, ...] = ()


_decode = msgspec.json.Decoder(_Event).decode


def keys_of(body: bytes) -> list[str]:
    """Return the keys in an event, decoded; none for an unknown event or an empty body.

    :raises ValueError: the body is not JSON
    """
    if not body.strip():
        return []
    try:
        event = _decode(body)
    except msgspec.ValidationError:
        return []
    except msgspec.DecodeError as error:
        raise ValueError(f"Could not parse request body into json: {error}") from error
    keys = [unquote_plus(record.s3.object.key) for record in event.records]
    if event.detail is not None:
        keys.append(event.detail.object.key)
    keys += [unquote_plus(task.key) for task in event.tasks]
    keys += [item if isinstance(item, str) else item.key for item in event.items]
    return keys


def bytes_of(body: bytes) -> int:
    """Return the total size of the objects in an event; an unknown size counts as 0."""
    try:
        event = _decode(body)
    except msgspec.MsgspecError:
        return 0
    found: list[_Item | str] = [record.s3.object for record in event.records]
    if event.detail is not None:
        found.append(event.detail.object)
    found += event.items
    sizes = [0 if isinstance(item, str) else item.size for item in found]
    return sum(size for size in sizes if isinstance(size, int))
