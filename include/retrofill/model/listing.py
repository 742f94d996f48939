"""What a source says of itself: its partitions, and the pages of each."""

from collections.abc import Mapping
from typing import NamedTuple

from retrofill.model.items import Item


class Partition(NamedTuple):
    """A part of a source that is read by one task."""

    number: int
    """Its place among the partitions, from 0."""

    label: str
    """Its name for people."""

    description: Mapping[str, str | None]
    """What the source needs to find it again; plain JSON."""

    seen: int | None = None
    """How many distinct keys the source's survey saw in it, filters aside; None: it did not look.

    If it saw any, a partition that then lists nothing at all is an error."""


class Page(NamedTuple):
    """A stretch of a partition. Each object seen is an item or in one of the last three counts.

    The last three counts of a page are added once all its items are taken. If a set ends within
    it, the next set lists the page again, behind the last key of the page before.
    """

    items: list[Item]

    last_key: str
    """The cursor: the next page begins behind it. Any text will do, if it means the same later."""

    listed: int
    """How many objects were seen."""

    filtered: int
    """How many of them the run does not ask for, or its live trigger would not send."""

    archived: int
    """How many of them are asked for, but are in an archive, where no function can read them."""

    rejected: int
    """How many of them are asked for, but have a key that the state cannot hold."""
