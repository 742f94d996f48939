"""The form of items: what their content holds, as far as every shape may use it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from retrofill.events.fields import ascii_json, json_string
from retrofill.events.template import HOLE
from retrofill.model.items import Item, ItemColumns


class Members(NamedTuple):
    """How the members of a JSON object that tells of an item are written."""

    template: str
    """The members in ASCII, with a hole for each value that differs from item to item."""

    columns: Callable[[ItemColumns], Sequence[Sequence[str]]]
    """Returns, for each hole, what goes in it for each item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemForm:
    """One form of items: event shapes say by its name whether items of it can fill them."""

    name: str

    members: Callable[[Mapping[str, str]], Members]
    """Returns how a plain shape tells of an item, by the source's place."""

    times: Callable[[ItemColumns], Sequence[str]] | None = None
    """Returns when each item came to be, as ``2019-09-03T19:37:27.192Z``; None: nobody knows."""

    longest: Item | None = None
    """The item whose content is the longest but for its texts; None: contents have any length."""


def _row_members(place: Mapping[str, str]) -> Members:
    del place
    return Members(
        f'"key":{HOLE},"row":{HOLE}',
        lambda items: (
            list(map(json_string, items.keys)),
            list(map(ascii_json, items.contents)),
        ),
    )


ROW = ItemForm(name="row", members=_row_members)
"""An item whose content is one JSON value: a row of a table or file, a group of rows, a record."""
