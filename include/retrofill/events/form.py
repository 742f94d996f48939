"""The form of items: how shapes may use their content."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from retrofill.events.fields import ascii_json, json_string
from retrofill.events.template import HOLE
from retrofill.model.items import Item, ItemColumns


class Members(NamedTuple):
    """The members of a JSON object that describes an item."""

    template: str
    """The members in ASCII, with a hole for each value that differs between items."""

    columns: Callable[[ItemColumns], Sequence[Sequence[str]]]
    """Returns, for each hole, the value for each item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemForm:
    """One form of items. Event shapes list the names of the forms that can fill them."""

    name: str

    members: Callable[[Mapping[str, str]], Members]
    """Returns the members by which a plain shape describes an item, given the source's place."""

    times: Callable[[ItemColumns], Sequence[str]] | None = None
    """Returns when each item was created, as ``2019-09-03T19:37:27.192Z``; None: unknown."""

    longest: Item | None = None
    """An item with the longest non-text fields; None: contents have any length."""


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
