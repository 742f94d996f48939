"""What a source says of itself: its partitions, and the pages of each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrofill.model.items import Item


class Partition(NamedTuple):
    """A part of a source that is read by one task."""

    number: int
    """Its place among the partitions, from 0."""

    label: str
    """Its name for people."""

    description: Mapping[str, Any]
    """What the source needs to find it again; plain JSON."""

    seen: int | None = None
    """How many distinct keys the source's survey saw in it, filters aside; None: it did not look.

    If it saw any, a partition that then lists nothing at all is an error."""


class Page(NamedTuple):
    """A stretch of a partition. What the source saw in it is an item or was left out.

    What was left out is counted once all the page's items are taken. If a set ends within the
    page, the next set lists it again, from the cursor of the page before.
    """

    items: list[Item]

    cursor: str
    """The source's own text: the next page begins behind it.

    It is kept in Postgres, so it has no NUL, and it must mean the same to a new process.
    """

    left_out: Mapping[str, int]
    """How much was seen that is not among the items, by reason; the kind of source names those."""

    late: frozenset[bytes] = frozenset()
    """The identifiers of those items that are older than the run's interval."""

    later: Sequence[Item] = ()
    """Some of what was left out because it was modified after the run was opened."""

    @property
    def seen(self) -> int:
        """How much the source saw: items, and what was left out."""
        return len(self.items) + sum(self.left_out.values())
