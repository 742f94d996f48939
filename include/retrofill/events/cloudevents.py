"""CloudEvents 1.0 over HTTP, structured, batched and binary. Their data is a plain item.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, and in the same folder
formats/json-format.md and bindings/http-protocol-binding.md. The id is the item's identifier, so a
repeated event has the same source and id, by which a consumer recognizes it. The extension
attribute ``retrofillrun`` has the number of the run.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from retrofill.events.context import EventContext
from retrofill.events.fields import json_string, uuid_of, uuid_texts
from retrofill.events.plain import plain_items
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.template import SEPARATOR, records_of
from retrofill.model.delivery import Contract
from retrofill.model.items import Item, ItemColumns
from retrofill.model.payload import JSON

CARRIERS = frozenset({"http"})

# No attribute may contain these: control characters, surrogates and noncharacters.
_DISALLOWED = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
# A header contains these unchanged: visible ASCII except the quote and the percent sign.
_IN_A_HEADER = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def type_of(context: EventContext) -> str:
    """Return the type of a run's events, by the form of its items: ``retrofill.row``."""
    return f"retrofill.{context.form.name}"


def source_of(context: EventContext) -> str:
    """Return the source of a run's events, a reference to its job."""
    return f"/retrofill/{quote(context.job, safe='')}"


def subject_of(key: str) -> str:
    """Return a key as a subject; characters that no attribute may contain are percent-encoded."""
    return _DISALLOWED.sub(lambda found: quote(found[0], safe=""), key)


def in_header(value: str) -> str:
    """Return an attribute, encoded for a header (HTTP binding, 3.1.3.2)."""
    return quote(value, safe=_IN_A_HEADER)


def _events(context: EventContext) -> Parts:
    data = plain_items(context)
    times = context.form.times
    begin = (
        f'{{"specversion":"1.0","type":"{type_of(context)}","source":{json_string(source_of(context))}'
        f',"retrofillrun":{context.run_id},"datacontenttype":"{JSON}","id":"'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        when = [f'","time":"{time}' for time in times(columns)] if times else [""] * len(columns)
        return [
            f'{begin}{identifier}{time}","subject":{json_string(subject_of(key))}'
            f',"data":{record}}}{SEPARATOR}'
            for identifier, time, key, record in zip(
                uuid_texts(columns.identifiers),
                when,
                columns.keys,
                records_of(data(columns), len(columns)),
                strict=True,
            )
        ]

    return parts


def _structured(context: EventContext) -> Encoder:
    return Encoder(
        parts=_events(context),
        identifier_in_event=uuid_of,
        content_type="application/cloudevents+json",
    )


def _batched(context: EventContext) -> Encoder:
    media = "application/cloudevents-batch+json"
    return replace(_structured(context), head="[", tail="]", content_type=media)


def _binary(context: EventContext) -> Encoder:
    always = (
        ("ce-specversion", "1.0"),
        ("ce-type", type_of(context)),
        ("ce-source", in_header(source_of(context))),
        ("ce-retrofillrun", str(context.run_id)),
    )
    times = context.form.times

    def headers(item: Item) -> tuple[tuple[str, str], ...]:
        when = times(ItemColumns.of([item])) if times else ()
        return (
            *always,
            ("ce-id", uuid_of(item)),
            *(("ce-time", time) for time in when),
            ("ce-subject", in_header(subject_of(item.key))),
        )

    return Encoder(parts=plain_items(context), identifier_in_event=uuid_of, headers=headers)


STRUCTURED = EventShape(
    name="cloudevents",
    words="**cloudevents**, **cloudevents-batch** and **cloudevents-binary** CloudEvents 1.0",
    imitates="none: one CloudEvent, as `application/cloudevents+json`",
    encoder=_structured,
    max_items=1,
    answers=(Contract.RETURN,),
    carried_by=CARRIERS,
    exact=True,
)

BATCHED = EventShape(
    name="cloudevents-batch",
    words=STRUCTURED.words,
    imitates="none: a list of CloudEvents, as `application/cloudevents-batch+json`",
    encoder=_batched,
    carried_by=CARRIERS,
    exact=True,
)

BINARY = replace(
    STRUCTURED,
    name="cloudevents-binary",
    imitates="none: one CloudEvent, its attributes in headers and its data as the body",
    encoder=_binary,
)
