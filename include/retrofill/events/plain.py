"""Plain items: a shape of our own, for functions written to take a list."""

import json
from collections.abc import Callable

from retrofill.events.context import EventContext
from retrofill.events.fields import (
    json_string,
    to_milliseconds,
    uuid_of,
    uuid_text,
)
from retrofill.events.shape import Encoder, EventShape, each
from retrofill.events.template import HOLE
from retrofill.model.items import Item

TAIL = "]}"


def plain_head(context: EventContext) -> str:
    """Return what stands before the items: the arguments, if there are any."""
    if not context.arguments:
        return '{"items":['
    arguments = json.dumps(dict(context.arguments), separators=(",", ":"))
    return f'{{"arguments":{arguments},"items":['


def plain_item(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes one item, in ASCII; its key as the source spells it."""
    template = (
        f'{{"identifier":"{HOLE}","bucket":{json_string(context.bucket)},"key":{HOLE}'
        f',"size":{HOLE},"modified_at":"{HOLE}","etag":{HOLE},"version_id":{HOLE}}}'
    )
    begin, to_key, to_size, to_time, to_etag, to_version, end = template.split(HOLE)

    def text(item: Item) -> str:
        identifier, key, size, modified_at, etag, version_id, _ = item
        version = json_string(version_id) if version_id else "null"
        return (
            f"{begin}{uuid_text(identifier)}{to_key}{json_string(key)}{to_size}{size}"
            f"{to_time}{to_milliseconds(modified_at)}{to_etag}{json_string(etag)}"
            f"{to_version}{version}{end}"
        )

    return text


def _encoder(context: EventContext) -> Encoder:
    return Encoder(
        parts=each(plain_item(context)),
        identifier_in_event=uuid_of,
        head=plain_head(context),
        tail=TAIL,
    )


ITEMS = EventShape(
    name="items",
    words="**items** a plain list",
    imitates='none: `{"items": [{"key": …, "size": …}]}`, for functions written for it',
    found_by="is not looked up",
    encoder=_encoder,
    forms=frozenset(),
    takes_arguments=True,
)
