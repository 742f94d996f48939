"""The item: one unit of work in a source, and its identifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self, overload

IDENTIFIER_BYTES = 16

LONGEST_KEY_BYTES = 1_024
"""Bytes of a key in UTF-8. An index row of Postgres holds 2,704, with all its columns."""


class Item(NamedTuple):
    """One unit of work, as a source lists it.

    >>> Item(bytes(16), "in/cat.jpg", '{"size": 7}').key
    'in/cat.jpg'
    """

    identifier: bytes
    """16 bytes for source, key and version; see :mod:`retrofill.engine.identity`."""

    key: str
    """The name by which people find it, as the source spells it."""

    content: str = ""
    """Data that only its source and its event shape understand.

    It never contains the control characters 0x00 and 0x1E.
    """


class Measure(NamedTuple):
    """The size and age of an item, as far as its content has them."""

    size: int | None
    """Bytes that a function would read; None: unknown."""

    modified: datetime | None
    """When it was last modified (UTC); None: unknown."""


@dataclass(frozen=True, slots=True)
class ItemColumns(Sequence[Item]):
    """Items as columns, one per field. An item is only created when it is accessed by index."""

    identifiers: bytes
    """IDENTIFIER_BYTES for each item, concatenated."""

    keys: Sequence[str]
    contents: Sequence[str]

    @classmethod
    def of(cls, items: Sequence[Item]) -> "ItemColumns":
        """Return items as columns."""
        if isinstance(items, ItemColumns):
            return items
        return cls(
            b"".join(item.identifier for item in items),
            [item.key for item in items],
            [item.content for item in items],
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
                self.contents[start:stop],
            )
        at = range(len(self))[at]
        return Item(
            self.identifiers[at * IDENTIFIER_BYTES : (at + 1) * IDENTIFIER_BYTES],
            self.keys[at],
            self.contents[at],
        )

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))


def identifiers_of(items: Sequence[Item]) -> bytes:
    """Return IDENTIFIER_BYTES for each item, concatenated."""
    if isinstance(items, ItemColumns):
        return items.identifiers
    return b"".join(item.identifier for item in items)
