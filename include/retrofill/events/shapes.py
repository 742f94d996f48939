"""The event shapes by name, and what a compiled one can do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from include.retrofill.events import plain
from include.retrofill.events.batch_operations import task_1_0, task_2_0
from include.retrofill.events.context import EventContext
from include.retrofill.events.eventbridge import object_created
from include.retrofill.events.fields import (
    MULTIPART_MARK,
    request_id_of,
    uuid_of,
)
from include.retrofill.events.notification import (
    HEAD,
    TAIL,
    notification_parts,
    notification_texts,
)
from include.retrofill.events.records import (
    dynamodb_record,
    kinesis_record,
    message_body,
    sequence_number,
    stream_number,
)
from include.retrofill.events.relays import sns_records, sns_texts, sqs_records
from include.retrofill.events.template import SEPARATOR, records_of
from include.retrofill.model.delivery import EVENTS_WITH_ARGUMENTS, ONE_ITEM_EVENTS
from include.retrofill.model.errors import ConfigError
from include.retrofill.model.items import IDENTIFIER_BYTES, Item, ItemColumns

MAX_ITEMS = 10_000
"""The most items a call may carry: the largest batch of Lambda's event source mappings."""


_CHARACTER_BYTES = 18
"""The most that a character becomes: one beyond 16 bits, in JSON that is text in JSON twice."""

_LONGEST = Item(
    bytes(IDENTIFIER_BYTES),
    key="",
    size=10**18,
    modified_at=datetime(2000, 1, 1, tzinfo=UTC),
    etag=MULTIPART_MARK,
    version_id="v",
)
"""What is the longest but for its texts; a size is a 64-bit number."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An event shape, compiled for one run. The same item always becomes the same bytes."""

    name: str

    parts: Callable[[Sequence[Item]], list[str]]
    """Writes items, in ASCII: so many parts for each, together its record and a comma."""

    identifier_in_event: Callable[[Item], str]
    """Tells the name under which the function's answer may speak of an item."""

    max_items: int
    """The most items that one call can carry."""

    head: str
    """What stands before the records."""

    tail: str
    """What stands after the records."""

    @property
    def overhead(self) -> int:
        """Bytes of a payload beside its records and the one byte between each two of them."""
        return len(self.head) + len(self.tail)

    def longest(self, items: Sequence[Item]) -> int:
        """Return a number of bytes that no record of these objects exceeds, without writing any."""
        columns = ItemColumns.of(items)
        texts = (columns.keys, columns.etags, columns.version_ids)
        characters = sum(max(map(len, column), default=0) for column in texts)
        return len(self.record(_LONGEST)) + characters * _CHARACTER_BYTES

    def record(self, item: Item) -> str:
        """Write one item's part of a payload."""
        return self.records([item])[0]

    def records(self, items: Sequence[Item]) -> list[str]:
        """Write the items' parts of a payload, in ASCII."""
        return records_of(self.parts(items), len(items))

    def body(self, items: Sequence[Item]) -> bytes:
        """Return the whole payload of a call.

        :raises ValueError: more items than the shape can carry, or none
        """
        if not 0 < len(items) <= self.max_items:
            message = f"{len(items)} items in a call of shape {self.name}:"
            raise ValueError(f"{message} 1 to {self.max_items} are possible")
        parts = self.parts(items)
        parts[0] = f"{self.head}{parts[0]}"
        parts[-1] = f"{parts[-1][: -len(SEPARATOR)]}{self.tail}"
        return "".join(parts).encode("ascii")


def default_items(name: str) -> int:
    """Return how many items the live trigger of a shape sends in a call unless told otherwise."""
    return _DEFAULT_ITEMS.get(name, 1)


def max_items(name: str) -> int:
    """Return the most items that one call of a shape can carry."""
    return 1 if name in ONE_ITEM_EVENTS else MAX_ITEMS


def compile_shape(name: str, context: EventContext) -> Shape:
    """Return the event shape of this name for a run.

    :raises ConfigError: there is no such shape, or the context lacks what it needs
    """
    compiler = _COMPILERS.get(name)
    if compiler is None:
        raise ConfigError(f"event: {name!r} is not an event shape; allowed: {', '.join(SHAPES)}")
    if context.arguments and name not in EVENTS_WITH_ARGUMENTS:
        raise ConfigError(
            f"arguments: the event shape {name} has no place for them;"
            f" allowed with: {', '.join(EVENTS_WITH_ARGUMENTS)}"
        )
    return compiler(name, context)


def _notification(name: str, context: EventContext) -> Shape:
    return _list_of(name, notification_parts(context), request_id_of)


def _through_sqs(name: str, context: EventContext) -> Shape:
    return _list_of(name, _listed(sqs_records(context, notification_texts(context))), uuid_of)


def _through_sns(name: str, context: EventContext) -> Shape:
    return _list_of(name, _listed(sns_records(context, notification_texts(context))), uuid_of)


def _through_sns_and_sqs(name: str, context: EventContext) -> Shape:
    texts = sns_texts(context, notification_texts(context))
    return _list_of(name, _listed(sqs_records(context, texts)), uuid_of)


def _message(name: str, context: EventContext) -> Shape:
    return _list_of(
        name, _listed(sqs_records(context, lambda some: list(map(message_body, some)))), uuid_of
    )


def _kinesis(name: str, context: EventContext) -> Shape:
    return _list_of(name, _each(kinesis_record(context)), stream_number)


def _dynamodb(name: str, context: EventContext) -> Shape:
    return _list_of(name, _each(dynamodb_record(context)), sequence_number)


def _eventbridge(name: str, context: EventContext) -> Shape:
    return _one_item(name, object_created(context))


def _batch_1_0(name: str, context: EventContext) -> Shape:
    return _one_item(name, task_1_0(context))


def _batch_2_0(name: str, context: EventContext) -> Shape:
    return _one_item(name, task_2_0(context))


def _plain(name: str, context: EventContext) -> Shape:
    return _list_of(
        name,
        _each(plain.plain_item(context)),
        uuid_of,
        head=plain.plain_head(context),
        tail=plain.TAIL,
    )


def _list_of(
    name: str,
    parts: Callable[[Sequence[Item]], list[str]],
    identifier_in_event: Callable[[Item], str],
    *,
    head: str = HEAD,
    tail: str = TAIL,
) -> Shape:
    return Shape(
        name=name,
        parts=parts,
        identifier_in_event=identifier_in_event,
        max_items=max_items(name),
        head=head,
        tail=tail,
    )


def _one_item(name: str, write: Callable[[Item], str]) -> Shape:
    return Shape(
        name=name,
        parts=_each(write),
        identifier_in_event=uuid_of,
        max_items=max_items(name),
        head="",
        tail="",
    )


def _each(write: Callable[[Item], str]) -> Callable[[Sequence[Item]], list[str]]:
    return lambda items: [f"{write(item)}{SEPARATOR}" for item in items]


def _listed(write: Callable[[Sequence[Item]], list[str]]) -> Callable[[Sequence[Item]], list[str]]:
    return lambda items: [f"{record}{SEPARATOR}" for record in write(items)]


_COMPILERS: dict[str, Callable[[str, EventContext], Shape]] = {
    "s3": _notification,
    "s3-sqs": _through_sqs,
    "s3-sns": _through_sns,
    "s3-sns-sqs": _through_sns_and_sqs,
    "eventbridge": _eventbridge,
    "s3-batch-1.0": _batch_1_0,
    "s3-batch-2.0": _batch_2_0,
    "items": _plain,
    "sqs": _message,
    "kinesis": _kinesis,
    "dynamodb": _dynamodb,
}
_DEFAULT_ITEMS = {"s3-sqs": 10, "s3-sns-sqs": 10, "sqs": 10, "kinesis": 100, "dynamodb": 100}

SHAPES = tuple(_COMPILERS)
"""The names of all event shapes."""

OF_RECORDS = ("sqs", "kinesis", "dynamodb")
"""The shapes of items that have a content; a listing of objects has none for them."""
