"""The item: one unit of work that a source holds, and its identifier."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Self, overload

IDENTIFIER_BYTES = 16

NO_CONTENT: Mapping[str, Any] = MappingProxyType({})


class Item(NamedTuple):
    """One unit of work, as a source lists it."""

    identifier: bytes
    """16 bytes for source, key and version; see :mod:`retrofill.engine.identity`."""

    key: str
    """The name of the item in its source, exactly as the source spells it."""

    size: int
    """The size of the item's content in bytes."""

    modified_at: datetime
    """When the source last saw the item change (UTC)."""

    etag: str
    """The source's own tag for the content, without quotes; empty when it gives none."""

    version_id: str
    """The source's version of the item; empty when the source keeps no versions."""

    content: Mapping[str, Any] = NO_CONTENT
    """What a source of records holds for it, as the event shape names it; objects have none."""


@dataclass(frozen=True, slots=True)
class ItemColumns(Sequence[Item]):
    """Items as columns, one for each field: what handles all of them at once makes no items.

    The item at a place is made when one is looked at.
    """

    identifiers: bytes
    """IDENTIFIER_BYTES of each item, one after another."""

    keys: Sequence[str]

    sizes: Sequence[str]
    """In decimal digits."""

    moments: Sequence[str]
    """When each was last modified, in UTC: ISO 8601 without an offset."""

    etags: Sequence[str]
    version_ids: Sequence[str]

    contents: Sequence[Mapping[str, Any]] = ()
    """What a source of records holds for each; empty: they are objects."""

    @classmethod
    def of(cls, items: Sequence[Item]) -> "ItemColumns":
        """Return items as columns."""
        if isinstance(items, ItemColumns):
            return items
        return cls(
            b"".join(item.identifier for item in items),
            [item.key for item in items],
            [str(item.size) for item in items],
            [item.modified_at.astimezone(UTC).replace(tzinfo=None).isoformat() for item in items],
            [item.etag for item in items],
            [item.version_id for item in items],
            [item.content for item in items] if any(item.content for item in items) else (),
        )

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Item | Self:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                raise ValueError(f"a slice of columns cannot have the step {step}")
            return type(self)(
                self.identifiers[start * IDENTIFIER_BYTES : stop * IDENTIFIER_BYTES],
                self.keys[start:stop],
                self.sizes[start:stop],
                self.moments[start:stop],
                self.etags[start:stop],
                self.version_ids[start:stop],
                self.contents[start:stop],
            )
        at = range(len(self))[at]
        return Item(
            self.identifiers[at * IDENTIFIER_BYTES : (at + 1) * IDENTIFIER_BYTES],
            self.keys[at],
            int(self.sizes[at]),
            datetime.fromisoformat(self.moments[at]).replace(tzinfo=UTC),
            self.etags[at],
            self.version_ids[at],
            self.contents[at] if self.contents else NO_CONTENT,
        )

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))


def identifiers_of(items: Sequence[Item]) -> bytes:
    """Return IDENTIFIER_BYTES of each item, one after another."""
    if isinstance(items, ItemColumns):
        return items.identifiers
    return b"".join(item.identifier for item in items)
