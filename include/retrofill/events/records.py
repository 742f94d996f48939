"""The shapes of records: messages of a queue, records of a stream, rows of a table.

An item of such a source has a content. Objects have none, so they cannot be written in these
shapes.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from retrofill.aws.arn import Arn
from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.events.context import EventContext
from retrofill.events.fields import digits_of_each, json_string
from retrofill.events.s3.notification import HEAD, TAIL
from retrofill.events.s3.relays import (
    QUEUE_ANSWERS,
    QUEUE_ITEMS,
    RECEIPT_HINTS,
    enveloped,
    queue_ids,
    sqs_records,
)
from retrofill.events.shape import Encoder, EventShape, each
from retrofill.events.synthetic import DIGITS, Form, letters, of_item
from retrofill.events.template import HOLE
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.items import IDENTIFIER_BYTES, Item

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


def message_body(item: Item) -> str:
    """Return the body of a queue's message: ``body`` of the item's content.

    :raises ConfigError: the item has no such content
    """
    body: str = content_of(item, "sqs", *_SQS_CONTENT)["body"]
    return body


def message_time(item: Item) -> str:
    """Return when a queue's message was sent: ``SentTimestamp`` of the item's content.

    It is in milliseconds since 1970, as in the attributes of a message.

    :raises ConfigError: the item has no such content
    """
    return str(content_of(item, "sqs", *_SQS_CONTENT)["SentTimestamp"])


def kinesis_record(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes a record of a Kinesis stream, in ASCII.

    The item's content has ``shardId``, ``partitionKey``, ``sequenceNumber``, ``data`` (base64) and
    ``approximateArrivalTimestamp`` (seconds since 1970). The role that reads the stream is
    synthetic. https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html

    :raises ConfigError: the context names no stream
    """
    stream = context.place.get("stream", "")
    arn = _stream(stream, "kinesis")
    role = f"arn:{arn.partition}:iam::{arn.account}:{_ROLE}"
    template = (
        f'{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":{HOLE}'
        f',"sequenceNumber":{HOLE},"data":{HOLE},"approximateArrivalTimestamp":{HOLE}}}'
        f',"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":{HOLE}'
        f',"eventName":"aws:kinesis:record","invokeIdentityArn":{json_string(role)}'
        f',"awsRegion":{json_string(arn.region)},"eventSourceARN":{json_string(stream)}}}'
    )
    begin, to_number, to_data, to_time, to_id, end = template.split(HOLE)

    def record(item: Item) -> str:
        content = content_of(item, "kinesis", *_KINESIS_CONTENT)
        shard, key, number, data, arrived = (content[name] for name in _KINESIS_CONTENT)
        return (
            f"{begin}{json_string(key)}{to_number}{json_string(number)}{to_data}"
            f"{json_string(data)}{to_time}{float(arrived)}"
            f"{to_id}{json_string(f'{shard}:{number}')}{end}"
        )

    return record


def dynamodb_record(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes the record of a row that was inserted in a table, in ASCII.

    The item's content has ``Keys`` and ``NewImage``, both in DynamoDB's JSON, ``SizeBytes``, which
    DynamoDB counts for the two, and ``ApproximateCreationDateTime`` (seconds since 1970), from
    which the synthetic sequence number is made.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html

    :raises ConfigError: the context names no stream of a table
    """
    stream = context.place.get("stream", "")
    region = _stream(stream, "dynamodb").region
    event_id, number_of = of_item(context.ids(_EVENT_ID, "eventID")), sequence_number(context)
    template = (
        f'{{"eventID":"{HOLE}","eventName":"INSERT","eventVersion":"1.1"'
        f',"eventSource":"aws:dynamodb","awsRegion":{json_string(region)}'
        f',"dynamodb":{{"ApproximateCreationDateTime":{HOLE},"Keys":{HOLE},"NewImage":{HOLE}'
        f',"SequenceNumber":"{HOLE}","SizeBytes":{HOLE},"StreamViewType":"NEW_AND_OLD_IMAGES"}}'
        f',"eventSourceARN":{json_string(stream)}}}'
    )
    begin, to_time, to_keys, to_image, to_number, to_size, end = template.split(HOLE)

    def record(item: Item) -> str:
        content = content_of(item, "dynamodb", *_DYNAMODB_CONTENT)
        return (
            f"{begin}{event_id(item)}{to_time}"
            f"{float(content['ApproximateCreationDateTime'])}"
            f"{to_keys}{_compact(content['Keys'])}{to_image}{_compact(content['NewImage'])}"
            f"{to_number}{number_of(item)}{to_size}{content['SizeBytes']}{end}"
        )

    return record


def stream_number(item: Item) -> str:
    """Return the number by which a response names a record of a Kinesis stream."""
    number: str = content_of(item, "kinesis", "sequenceNumber")["sequenceNumber"]
    return number


def sequence_number(context: EventContext) -> Callable[[Item], str]:
    """Return what makes the number by which a response names a row: later ones are larger."""
    within = of_item(context.ids(_NUMBER_WITHIN, "SequenceNumber"))

    def number(item: Item) -> str:
        content = content_of(item, "dynamodb", "ApproximateCreationDateTime")
        milliseconds = round(content["ApproximateCreationDateTime"] * 1_000)
        return f"{milliseconds:013}{within(item)}"

    return number


def content_of(item: Item, shape: str, *names: str) -> Mapping[str, Any]:
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
            f"event: the shape {shape} needs {', '.join(missing)} of each item, which this source"
            " does not hold"
        )
    return content


def _stream(arn: str, service: str) -> Arn:
    """Return a stream's ARN."""
    found = Arn.find(arn)
    if found is None or found.service != service or not found.region:
        raise ConfigError(
            f"stream_arn: {arn!r} is not the ARN of a stream of {service}, which this event shape"
            " needs"
        )
    return found


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _message(context: EventContext) -> Encoder:
    return enveloped(
        sqs_records(
            context,
            _queue_arn(context),
            lambda some: list(map(message_body, some)),
            lambda some: list(map(message_time, some)),
        ),
        queue_ids(context),
    )


def _queue_arn(context: EventContext) -> str:
    """Return the queue that the items were in, or a synthetic one for rows that were in none."""
    function = Arn.parse(context.function.name)
    synthetic = f"arn:{function.partition}:sqs:{function.region}:{function.account}:retrofill"
    return context.place.get("queue", synthetic)


def _kinesis(context: EventContext) -> Encoder:
    parts = each(kinesis_record(context))
    return Encoder(parts=parts, identifier_in_event=stream_number, head=HEAD, tail=TAIL)


def _dynamodb(context: EventContext) -> Encoder:
    parts = each(dynamodb_record(context))
    number = sequence_number(context)
    return Encoder(parts=parts, identifier_in_event=number, head=HEAD, tail=TAIL)


_STREAM_ITEMS = 100
"""How many records Lambda takes from a stream for one call by default."""

_STREAM_ANSWERS = (Contract.CHECKPOINT, Contract.RETURN, Contract.BATCH_ITEM_FAILURES)

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
    answers=_STREAM_ANSWERS,
    forms=frozenset({"stream record"}),
    carried_by=CARRIED_BY_LAMBDA,
    content=_KINESIS_CONTENT,
)
DYNAMODB = EventShape(
    name="dynamodb",
    words="**dynamodb** a table's row",
    imitates="stream of a table → function",
    encoder=_dynamodb,
    default_items=_STREAM_ITEMS,
    answers=_STREAM_ANSWERS,
    forms=frozenset({"table row"}),
    carried_by=CARRIED_BY_LAMBDA,
    content=_DYNAMODB_CONTENT,
)
