"""Histograms: the sizes and ages of items, in bins that are easy to read."""

from collections import Counter
from collections.abc import Sequence
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
        self._sizes = _Histogram([*(words for _, words in _SIZES), _LARGEST])
        self._ages = _Histogram([*(words for _, words in _AGES), _OLDEST])

    def add(self, measures: Sequence[Measure]) -> None:
        """Add items."""
        for size, modified in measures:
            size_words = age_words = _UNKNOWN
            if size is not None:
                self.size = (self.size or 0) + size
                size_words = next((words for below, words in _SIZES if size < below), _LARGEST)
            if modified is not None:
                recent = (words for since, words in self._bounds if modified > since)
                age_words = next(recent, _OLDEST)
            self._sizes.add(size_words, size)
            self._ages.add(age_words, size)

    @property
    def sizes(self) -> list[Bin]:
        """The sizes, the smallest first; empty: none is known."""
        return self._sizes.bins()

    @property
    def ages(self) -> list[Bin]:
        """The ages, the newest first; empty: none is known."""
        return self._ages.bins()


class _Histogram:
    """The number of items and bytes in each bin.

    :param order: the words of the bins, from the first to the last
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = order
        self._items = Counter[str]()
        self._bytes = Counter[str]()
        self._unsized: set[str] = set()

    def add(self, words: str, size: int | None) -> None:
        self._items[words] += 1
        if size is None:
            self._unsized.add(words)
        else:
            self._bytes[words] += size

    def bins(self) -> list[Bin]:
        """Return the bins from the first to the last that has items, then the unknown ones."""
        filled = [at for at, words in enumerate(self._order) if self._items[words]]
        if not filled:
            return []
        shown = [*self._order[filled[0] : filled[-1] + 1]]
        shown += [_UNKNOWN] if self._items[_UNKNOWN] else []
        return [
            Bin(words, self._items[words], None if words in self._unsized else self._bytes[words])
            for words in shown
        ]
