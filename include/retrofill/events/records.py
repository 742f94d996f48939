"""The shapes of records: messages of a queue, records of a stream, rows of a table.

The content of an item is JSON with the fields of its shape. Objects have other content, so these
shapes cannot write them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from retrofill.aws.arn import Arn
from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.events.context import EventContext
from retrofill.events.fields import digits_of_each, json_string
from retrofill.events.s3.imitation import Writer
from retrofill.events.s3.notification import HEAD, TAIL
from retrofill.events.s3.relays import (
    QUEUE_ANSWERS,
    QUEUE_ITEMS,
    RECEIPT_HINTS,
    enveloped,
    queue_ids,
    regional_arn,
    sqs_parts,
)
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.synthetic import DIGITS, Form, letters, of_item
from retrofill.events.template import HOLE, filled
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.items import IDENTIFIER_BYTES, Item, identifiers_of

_ROLE = "role/retrofill-replayed"
_EVENT_ID = Form(IDENTIFIER_BYTES, lambda data: digits_of_each(data, IDENTIFIER_BYTES))
_NUMBER_WITHIN = letters(DIGITS, 10)
_SQS_CONTENT = ("body", "SentTimestamp")
_KINESIS_CONTENT = (
    "shardId",
    "partitionKey",
    "sequenceNumber",
    "data",
    "approximateArrivalTimestamp",
)
_DYNAMODB_CONTENT = ("Keys", "NewImage", "SizeBytes", "ApproximateCreationDateTime")


def kinesis_parts(context: EventContext) -> Parts:
    """Return the function that writes records of a Kinesis stream.

    An item's content has ``shardId``, ``partitionKey``, ``sequenceNumber``, ``data`` (base64) and
    ``approximateArrivalTimestamp`` (seconds since 1970). The role that reads the stream is
    synthetic. https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html

    :raises ConfigError: the context names no stream
    """
    stream = context.place.get("stream", "")
    arn = regional_arn("stream_arn", stream, "kinesis", "stream/name")
    role = f"arn:{arn.partition}:iam::{arn.account}:{_ROLE}"
    fill = filled(
        f'{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":{HOLE}'
        f',"sequenceNumber":{HOLE},"data":{HOLE},"approximateArrivalTimestamp":{HOLE}}}'
        f',"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":{HOLE}'
        f',"eventName":"aws:kinesis:record","invokeIdentityArn":{json_string(role)}'
        f',"awsRegion":{json_string(arn.region)},"eventSourceARN":{json_string(stream)}}}'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        contents = [_content(item, "kinesis", _KINESIS_CONTENT) for item in items]
        return fill(
            [json_string(one["partitionKey"]) for one in contents],
            [json_string(one["sequenceNumber"]) for one in contents],
            [json_string(one["data"]) for one in contents],
            [f"{float(one['approximateArrivalTimestamp'])}" for one in contents],
            [json_string(f"{one['shardId']}:{one['sequenceNumber']}") for one in contents],
        )

    return parts


def dynamodb_parts(context: EventContext) -> Parts:
    """Return the function that writes the records of rows that were inserted into a table.

    An item's content has ``Keys`` and ``NewImage``, both in DynamoDB's JSON, ``SizeBytes``, which
    DynamoDB counts for the two, and ``ApproximateCreationDateTime`` (seconds since 1970), from
    which the synthetic sequence number is made.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html

    :raises ConfigError: the context names no stream of a table
    """
    stream = context.place.get("stream", "")
    arn = regional_arn("stream_arn", stream, "dynamodb", "table/name/stream/label")
    event_ids, number_of = context.ids(_EVENT_ID, "eventID"), _row_number(context)
    fill = filled(
        f'{{"eventID":"{HOLE}","eventName":"INSERT","eventVersion":"1.1"'
        f',"eventSource":"aws:dynamodb","awsRegion":{json_string(arn.region)}'
        f',"dynamodb":{{"ApproximateCreationDateTime":{HOLE},"Keys":{HOLE},"NewImage":{HOLE}'
        f',"SequenceNumber":"{HOLE}","SizeBytes":{HOLE},"StreamViewType":"NEW_AND_OLD_IMAGES"}}'
        f',"eventSourceARN":{json_string(stream)}}}'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        contents = [_content(item, "dynamodb", _DYNAMODB_CONTENT) for item in items]
        return fill(
            event_ids(identifiers_of(items)),
            [f"{float(one['ApproximateCreationDateTime'])}" for one in contents],
            [_compact(one["Keys"]) for one in contents],
            [_compact(one["NewImage"]) for one in contents],
            list(map(number_of, items)),
            [f"{one['SizeBytes']}" for one in contents],
        )

    return parts


def _stream_number(item: Item) -> str:
    """Return the number by which a response names a record of a Kinesis stream."""
    number: str = _content(item, "kinesis", ("sequenceNumber",))["sequenceNumber"]
    return number


def _row_number(context: EventContext) -> Callable[[Item], str]:
    """Return the function that makes the number by which a response names a row; numbers rise."""
    within = of_item(context.ids(_NUMBER_WITHIN, "SequenceNumber"))
    created = "ApproximateCreationDateTime"

    def number(item: Item) -> str:
        milliseconds = round(_content(item, "dynamodb", (created,))[created] * 1_000)
        return f"{milliseconds:013}{within(item)}"

    return number


def _content(item: Item, shape: str, names: Sequence[str]) -> Mapping[str, Any]:
    """Return an item's content, which is JSON.

    :raises ConfigError: it lacks one of these fields, so that the shape cannot be written
    """
    try:
        content: Mapping[str, Any] = json.loads(item.content)
    except ValueError:
        content = {}
    missing = [name for name in names if name not in content]
    if missing:
        raise ConfigError(
            f"event: the shape {shape} needs {', '.join(missing)} in each item, but this source's"
            " items lack them; give another event"
        )
    return content


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _message(context: EventContext) -> Encoder:
    def field(name: str) -> Writer:
        return lambda items: [str(_content(item, "sqs", _SQS_CONTENT)[name]) for item in items]

    parts = sqs_parts(context, _queue_arn(context), field("body"), field("SentTimestamp"))
    return enveloped(parts, queue_ids(context))


def _queue_arn(context: EventContext) -> str:
    """Return the queue that the items were in, or a synthetic one for rows that were in none."""
    function = Arn.parse(context.function.name)
    synthetic = f"arn:{function.partition}:sqs:{function.region}:{function.account}:retrofill"
    return context.place.get("queue", synthetic)


def _kinesis(context: EventContext) -> Encoder:
    parts = kinesis_parts(context)
    return Encoder(parts=parts, identifier_in_event=_stream_number, head=HEAD, tail=TAIL)


def _dynamodb(context: EventContext) -> Encoder:
    parts, number = dynamodb_parts(context), _row_number(context)
    return Encoder(parts=parts, identifier_in_event=number, head=HEAD, tail=TAIL)


_STREAM_ITEMS = 100
"""How many records Lambda takes from a stream for one call by default."""

SQS = EventShape(
    name="sqs",
    words="**sqs** a queue's message",
    imitates="queue → function",
    encoder=_message,
    default_items=QUEUE_ITEMS,
    answers=QUEUE_ANSWERS,
    hints=RECEIPT_HINTS,
    forms=frozenset({"row"}),
    carried_by=CARRIED_BY_LAMBDA,
    content=_SQS_CONTENT,
)
KINESIS = EventShape(
    name="kinesis",
    words="**kinesis** a stream's record",
    imitates="stream → function",
    encoder=_kinesis,
    default_items=_STREAM_ITEMS,
    answers=(Contract.CHECKPOINT, Contract.RETURN, Contract.BATCH_ITEM_FAILURES),
    forms=frozenset({"stream record"}),
    carried_by=CARRIED_BY_LAMBDA,
    content=_KINESIS_CONTENT,
)
DYNAMODB = replace(
    KINESIS,
    name="dynamodb",
    words="**dynamodb** a table's row",
    imitates="stream of a table → function",
    encoder=_dynamodb,
    forms=frozenset({"table row"}),
    content=_DYNAMODB_CONTENT,
)
