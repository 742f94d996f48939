"""The form of items that are objects, as a listing describes them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from retrofill.aws.objects import pack, unpack_all
from retrofill.events.fields import all_to_milliseconds, json_string
from retrofill.events.form import ItemForm, Members
from retrofill.events.s3.fields import MULTIPART_MARK
from retrofill.events.template import HOLE
from retrofill.model.items import IDENTIFIER_BYTES, Item, ItemColumns


def _members(place: Mapping[str, str]) -> Members:
    return Members(
        f'"bucket":{json_string(place["bucket"])},"key":{HOLE},"size":{HOLE}'
        f',"modified_at":"{HOLE}","etag":{HOLE},"version_id":{HOLE}',
        _columns,
    )


def _columns(items: ItemColumns) -> tuple[list[str], ...]:
    facts = unpack_all(items.contents)
    return (
        list(map(json_string, items.keys)),
        list(facts.sizes),
        all_to_milliseconds(facts.timestamps),
        list(map(json_string, facts.etags)),
        [json_string(version) if version else "null" for version in facts.version_ids],
    )


OBJECTS = frozenset({"object"})
"""The forms that can fill S3's events."""

OBJECT = ItemForm(
    name="object",
    members=_members,
    times=lambda items: all_to_milliseconds(unpack_all(items.contents).timestamps),
    # A size is a 64-bit number.
    longest=Item(
        bytes(IDENTIFIER_BYTES),
        "",
        pack(10**18, datetime(2000, 1, 1, microsecond=1, tzinfo=UTC), MULTIPART_MARK, "v"),
    ),
)
"""An object in a bucket. :mod:`retrofill.aws.objects` packs its content."""
