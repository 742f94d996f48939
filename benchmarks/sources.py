"""Sources that only create their items, with keys like those in S3."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from retrofill.aws.objects import pack
from retrofill.engine.identity import identifier_of
from retrofill.model.items import Item
from retrofill.sources import Page, Partition, Source

from benchmarks.event import SOURCE

PAGE_ITEMS = 1_000
CONTENT_BYTES = 1_000
"""The content of an item of :class:`Rows`."""

_START = datetime(2019, 9, 3, 19, 37, 27, tzinfo=UTC)
_FAR = 6_364_136_223_846_793_005
_PLACES = 1 << 63
"""A power of two, so that an odd factor gives each number its own place."""


class Generated(Source):
    """Items in the order of their keys.

    :param items: the number of items
    :param first: the number of the first item, a multiple of PAGE_ITEMS
    """

    name = SOURCE

    def __init__(self, items: int, *, first: int = 0) -> None:
        self._first = first
        self._end = first + items

    def check(self) -> bool:
        """Return whether it has items; nothing else can be wrong."""
        return self._end > self._first

    def partitions(self, limit: int) -> list[Partition]:
        """Return everything as one partition."""
        return [Partition(0, "all", {})][:limit]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Create the items page by page, like a listing of S3."""
        del partition, cursor
        identifier = identifier_of(SOURCE)
        # As in the S3 source.
        make = tuple.__new__
        for first in range(self._first, self._end, PAGE_ITEMS):
            etag = f"{first:032x}"
            content = self._content(first, etag)
            keys = self._keys(first, min(PAGE_ITEMS, self._end - first))
            items = [make(Item, (identifier(key, etag), key, content)) for key in keys]
            yield Page(items, keys[-1], {})

    def acknowledge(self, page: Page) -> None:
        """Do nothing: there is nothing to release."""

    def _content(self, first: int, etag: str) -> str:
        """Return the content of each item of a page."""
        return pack(1_234_567, _START + timedelta(seconds=first), etag, "")

    def _keys(self, first: int, count: int) -> list[str]:
        """Return the keys of a page, 60 bytes each."""
        page = f"incoming/2019/09/03/camera-042/20190903T193727-{first // PAGE_ITEMS:05}"
        return [f"{page}{number:03}.jpeg" for number in range(count)]


class Shuffled(Generated):
    """The same unordered: keys of the same length, each far from the previous one."""

    ordered = False

    def _keys(self, first: int, count: int) -> list[str]:
        return [
            f"incoming/2019/09/03/camera-042/2019-{number * _FAR % _PLACES:019}.jpeg"
            for number in range(first, first + count)
        ]


class Rows(Generated):
    """The same with a kilobyte of JSON in each item, like a row of a file."""

    def _content(self, first: int, etag: str) -> str:
        text = f'{{"page":{first:09},"text":"{etag * 31}'[: CONTENT_BYTES - 2]
        return f'{text}"}}'
