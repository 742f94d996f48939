"""Plain items: a shape of our own, for functions that take a list."""

import json
from collections.abc import Sequence

from retrofill.events.context import EventContext
from retrofill.events.fields import uuid_of, uuid_texts
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.template import HOLE, filled
from retrofill.model.items import Item, ItemColumns

TAIL = "]}"


def plain_head(context: EventContext) -> str:
    """Return the text before the items: the arguments, if there are any."""
    if not context.arguments:
        return '{"items":['
    arguments = json.dumps(dict(context.arguments), separators=(",", ":"))
    return f'{{"arguments":{arguments},"items":['


def plain_items(context: EventContext) -> Parts:
    """Return the function that writes items, with keys as the source spells them."""
    members = context.form.members(context.place)
    fill = filled(f'{{"identifier":"{HOLE}",{members.template}}}')

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        return fill(uuid_texts(columns.identifiers), *members.columns(columns))

    return parts


def _encoder(context: EventContext) -> Encoder:
    parts, head = plain_items(context), plain_head(context)
    return Encoder(parts=parts, identifier_in_event=uuid_of, head=head, tail=TAIL)


ITEMS = EventShape(
    name="items",
    words="**items** a plain list",
    imitates='none: `{"items": [{"key": …, "size": …}]}`, for functions written for it',
    encoder=_encoder,
    takes_arguments=True,
)
