"""A source in memory, for tests, benchmarks and examples: items made from their number."""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from retrofill.engine.identity import identifier_of
from retrofill.events.form import ROW
from retrofill.model.items import Item
from retrofill.model.listing import Page, Partition
from retrofill.params import field
from retrofill.sources.kind import SOURCE, Opening, SourceKind, SourceParams, content_measure
from retrofill.sources.source import Source

NAME = "memory://items"

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class MemorySource(Source):
    """Items by their number, from 0. A cursor is the number of the next one.

    :param make: makes an item from its number, the same one every time
    :param count: the number of items
    :param ordered: whether the keys of the items ascend
    """

    def __init__(
        self,
        make: Callable[[int], Item],
        count: int,
        *,
        name: str = NAME,
        ordered: bool = True,
        page_items: int = 1_000,
    ) -> None:
        self.name = name
        self.ordered = ordered
        self._make = make
        self._count = count
        self._page_items = page_items

    @classmethod
    def of(cls, items: Sequence[Item], **more: object) -> "MemorySource":
        """Return a source of these items, in this order."""
        return cls(items.__getitem__, len(items), **more)  # type: ignore[arg-type]

    def check(self) -> bool:
        """Return whether there are items."""
        return self._count > 0

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the numbers into ranges of equal size, except the last."""
        size = -(-self._count // limit) or 1
        return [
            Partition(
                number,
                f"{first} to {min(first + size, self._count) - 1}",
                {"first": first, "end": min(first + size, self._count)},
                min(size, self._count - first),
            )
            for number, first in enumerate(range(0, self._count or 1, size))
        ]

    def estimate(self) -> int | None:
        """Return the number of items."""
        return self._count

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Make the items of a partition, page by page."""
        first = partition.description["first"] if cursor is None else int(cursor)
        for begin in range(first, partition.description["end"], self._page_items):
            end = min(begin + self._page_items, partition.description["end"])
            yield Page([self._make(number) for number in range(begin, end)], str(end), {})


class MemoryParams(SourceParams):
    """The number of items, and their content."""

    items: int = field(
        SOURCE,
        "Items",
        "How many items there are.",
        default=1_000,
        ge=0,
        le=1_000_000_000,
        examples=[1_000],
    )
    content_bytes: int = field(
        SOURCE,
        "Bytes of content",
        "How many bytes of text each item has.",
        default=0,
        ge=0,
        le=1_000_000,
        examples=[1_000],
    )
    in_order: bool = field(
        SOURCE,
        "In order",
        "Whether the keys of the items ascend.",
        default=True,
    )

    def label(self) -> str:
        """Return the number of items."""
        return f"{self.items:,} items in memory"

    def origin(self) -> str:
        """Return the order of the keys: a larger number adds items to the same ones."""
        return NAME if self.in_order else f"{NAME} in no order"


def maker(*, content_bytes: int, in_order: bool) -> Callable[[int], Item]:
    """Return the function that makes an item from its number."""
    identifier = identifier_of(NAME)
    text = "x" * content_bytes

    def make(number: int) -> Item:
        key = f"{number:012}"
        if not in_order:
            key = f"{blake2b(key.encode(), digest_size=8).hexdigest()}-{key}"
        return Item(identifier(key, ""), key, _to_json({"number": number, "text": text}))

    return make


def _open(params: MemoryParams, opening: Opening) -> MemorySource:
    del opening
    make = maker(content_bytes=params.content_bytes, in_order=params.in_order)
    return MemorySource(make, params.items, ordered=params.in_order)


KIND = SourceKind(
    name="memory",
    title="items made in memory",
    params=MemoryParams,
    open=_open,
    form=ROW,
    measure=content_measure,
)
