"""What a source lists: its partitions, and the pages of each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrofill.model.items import Item


class Partition(NamedTuple):
    """A part of a source that one task reads.

    >>> Partition(0, "1 to 99", {"first": 1, "last": 99}).label
    '1 to 99'
    """

    number: int
    """Its index, from 0."""

    label: str
    """Its name for people."""

    description: Mapping[str, Any]
    """What the source needs to find it again, as plain JSON."""

    seen: int | None = None
    """Distinct keys that the survey saw in it, before filters; None: the survey did not count.

    If there were any, a partition that lists nothing is an error."""


class Page(NamedTuple):
    """Consecutive items of a partition, and the counts of what was left out.

    Left-out items are counted when all of the page's items are taken. If a set ends within the
    page, the next set lists the page again, from the cursor of the page before.

    >>> Page([Item(bytes(16), "7")], cursor="7", left_out={"odd": 3}).seen
    4
    """

    items: list[Item]

    cursor: str
    """Text of the source's own; the next page begins after it.

    It is stored in Postgres, so it must not contain NUL, and a new process must understand it.
    """

    left_out: Mapping[str, int]
    """How many items were seen but left out, by reason; the kind of source names the reasons."""

    late: frozenset[bytes] = frozenset()
    """The identifiers of items that are older than the run's interval."""

    later: Sequence[Item] = ()
    """Some of the items that were left out because they were modified after the run opened."""

    @property
    def seen(self) -> int:
        """How many items the source saw, including those left out."""
        return len(self.items) + sum(self.left_out.values())
