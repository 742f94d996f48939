"""Portions of a batch: how much of it a task loads at once, to bound its memory."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

PORTION_BYTES = 8 * 2**20
"""The most content bytes of a portion in UTF-8, unless it is a single item."""


class Portion(NamedTuple):
    """Neighbouring items of a batch, from the first number to the last."""

    first_seq: int
    last_seq: int
    items: int
    """The most items that it has: some may have left."""


def is_one(content_bytes: int) -> bool:
    """Return whether a batch with this much content is loaded at once."""
    return content_bytes <= PORTION_BYTES


def divide(seqs: Sequence[int], sizes: Sequence[int], *, of: int) -> list[Portion]:
    """Divide the items of a batch into portions, each as large as PORTION_BYTES allows.

    :param seqs: the numbers of the items, in ascending order
    :param sizes: content bytes of each
    :param of: items per call: every portion but the last has a multiple of it, unless fewer fit,
        so that no call is smaller because a portion ends
    """
    ends = list(accumulate(sizes))
    portions: list[Portion] = []
    begin = 0
    while begin < len(seqs):
        before = ends[begin - 1] if begin else 0
        end = bisect_right(ends, before + PORTION_BYTES, lo=begin)
        if end < len(seqs):
            count = end - begin
            end = begin + max(count - count % of or count, 1)
        portions.append(Portion(seqs[begin], seqs[end - 1], end - begin))
        begin = end
    return portions
