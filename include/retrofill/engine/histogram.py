"""Histograms: the sizes and ages of items, in bins that are easy to take in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from retrofill.model.items import Measure
from retrofill.model.plan import Bin

_SIZES = (
    (1_000, "below 1 kB"),
    (10_000, "1 to 10 kB"),
    (100_000, "10 to 100 kB"),
    (1_000_000, "100 kB to 1 MB"),
    (10_000_000, "1 to 10 MB"),
    (100_000_000, "10 to 100 MB"),
    (1_000_000_000, "100 MB to 1 GB"),
)
_LARGEST = "1 GB and more"
_AGES = (
    (1, "within a day"),
    (7, "1 to 7 days ago"),
    (30, "7 to 30 days ago"),
    (90, "30 to 90 days ago"),
    (365, "90 days to a year ago"),
    (3 * 365, "1 to 3 years ago"),
)
_OLDEST = "more than 3 years ago"
_UNKNOWN = "unknown"


class Histograms:
    """Histograms of the sizes and ages of items, which are added one after another.

    :param now: the time from which ages are counted
    """

    def __init__(self, now: datetime) -> None:
        self.size: int | None = None
        """Total bytes of the items whose size is known; None: no size is known."""

        self._bounds = [(now - timedelta(days=days), words) for days, words in _AGES]
        self._sizes = _Columns()
        self._ages = _Columns()

    def add(self, measures: Sequence[Measure]) -> None:
        """Add items."""
        for size, modified in measures:
            if size is not None:
                self.size = (self.size or 0) + size
            self._sizes.add(_size_words(size), size)
            self._ages.add(self._age_words(modified), size)

    @property
    def sizes(self) -> list[Bin]:
        """The sizes, the smallest first; empty: none is known."""
        return list(self._sizes.bins([words for _, words in _SIZES] + [_LARGEST]))

    @property
    def ages(self) -> list[Bin]:
        """The ages, the newest first; empty: none is known."""
        return list(self._ages.bins([words for _, words in _AGES] + [_OLDEST]))

    def _age_words(self, modified: datetime | None) -> str:
        if modified is None:
            return _UNKNOWN
        return next((words for since, words in self._bounds if modified > since), _OLDEST)


def _size_words(size: int | None) -> str:
    if size is None:
        return _UNKNOWN
    return next((words for below, words in _SIZES if size < below), _LARGEST)


class _Columns:
    """The number of items and bytes in each bin."""

    def __init__(self) -> None:
        self._items = Counter[str]()
        self._bytes = Counter[str]()
        self._unsized: set[str] = set()

    def add(self, words: str, size: int | None) -> None:
        self._items[words] += 1
        if size is None:
            self._unsized.add(words)
        else:
            self._bytes[words] += size

    def bins(self, order: Sequence[str]) -> Iterator[Bin]:
        """Yield the bins from the first to the last that has items, then the unknown ones."""
        filled = [at for at, words in enumerate(order) if self._items[words]]
        if not filled:
            return
        yield from map(self._bin, order[filled[0] : filled[-1] + 1])
        if self._items[_UNKNOWN]:
            yield self._bin(_UNKNOWN)

    def _bin(self, words: str) -> Bin:
        size = None if words in self._unsized else self._bytes[words]
        return Bin(words, self._items[words], size)
