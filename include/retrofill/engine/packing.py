"""Packing: which records share a call, by count, bytes and the cap of each record."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

_SEPARATOR_BYTES = 1
"""Bytes of the separator between two records of a payload."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Packing:
    """The positions of records: those of each call, and those that fit in no call."""

    calls: tuple[range, ...]
    """The positions that each call carries, in order."""

    too_large: tuple[int, ...]
    """Positions of records that are too large even alone."""


def pack(
    sizes: Sequence[int],
    *,
    overhead: int,
    max_items: int,
    max_bytes: int,
    call_caps: Sequence[int | None] = (),
) -> Packing:
    """Pack records into as few calls as their order allows.

    :param sizes: bytes of each record
    :param overhead: bytes of a payload in addition to its records and separators
    :param max_items: the most records in a call
    :param max_bytes: the most bytes in a call's payload
    :param call_caps: for each record, the most records in a call that carries it, None for no cap;
        empty if no record has a cap
    :raises ValueError: ``max_items`` or a cap is below 1, or the number of caps is wrong
    """
    if max_items < 1:
        raise ValueError(f"max_items is {max_items}; at least 1 is needed")
    if not call_caps and fits(
        max(sizes, default=0), overhead=overhead, items=max_items, max_bytes=max_bytes
    ):
        starts = range(0, len(sizes), max_items)
        return Packing(tuple(range(at, min(at + max_items, len(sizes))) for at in starts), ())
    return _packed_one_by_one(sizes, overhead, max_items, max_bytes, call_caps)


def _packed_one_by_one(
    sizes: Sequence[int],
    overhead: int,
    max_items: int,
    max_bytes: int,
    call_caps: Sequence[int | None],
) -> Packing:
    if call_caps and len(call_caps) != len(sizes):
        raise ValueError(f"{len(call_caps)} call_caps for {len(sizes)} sizes")
    caps = call_caps or repeat(None, len(sizes))
    calls: list[range] = []
    too_large: list[int] = []
    start, count, filled, most = 0, 0, overhead, max_items
    for position, (size, own_cap) in enumerate(zip(sizes, caps, strict=True)):
        cap = max_items if own_cap is None else own_cap
        if cap < 1:
            raise ValueError(f"call_caps[{position}] is {cap}; at least 1 is needed")
        needed = filled + size + _SEPARATOR_BYTES if count else overhead + size
        if needed > max_bytes or count >= most or count >= cap:
            if count:
                calls.append(range(start, position))
            start, count, most, needed = position, 0, max_items, overhead + size
            if needed > max_bytes:
                too_large.append(position)
                start = position + 1
                continue
        count += 1
        filled = needed
        if cap < most:  # noqa: PLR1730  min() costs half as much as the rest of the loop
            most = cap
    if start < len(sizes):
        calls.append(range(start, len(sizes)))
    return Packing(tuple(calls), tuple(too_large))


def fits(size: int, *, overhead: int, items: int, max_bytes: int) -> bool:
    """Return whether this many records of one size fit in one call; see :func:`pack`."""
    return overhead + items * (size + _SEPARATOR_BYTES) <= max_bytes


def bisect(call: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return the two halves of a call that failed; the first is the larger if they differ.

    The larger half is as large as :func:`cap_after` allows, so a call of n items is reduced to
    single items after ⌈log2 n⌉ bisections.

    :raises ValueError: the call carries fewer than two items
    """
    if len(call) < 2:  # noqa: PLR2004  one item has no halves
        raise ValueError(f"a call of {len(call)} items has no halves")
    middle = cap_after(len(call))
    return call[:middle], call[middle:]


def cap_after(items: int) -> int:
    """Return how many items may share a call with one from a failed call of this many items."""
    return (items + 1) // 2
