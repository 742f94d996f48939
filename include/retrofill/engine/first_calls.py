"""The first calls of a batch: its items, packed by the size of their records."""

from collections.abc import Callable, Iterator, Sequence

from retrofill.engine.packing import fits, pack
from retrofill.events import CompiledShape
from retrofill.model.calls import Call, Entry, Loaded
from retrofill.model.items import Item


def first_calls(
    loaded: Loaded, shape: CompiledShape, max_items: int, max_bytes: int
) -> list[tuple[Call, float]]:
    """Return the calls for the remaining items of a batch, each with the seconds to wait.

    :param max_items: the most items in a call
    :param max_bytes: the most bytes in a call's payload
    """
    seqs, items, histories = loaded
    if not histories:
        places = _places(items, (), shape, max_items, max_bytes)
        return [(Call(seqs[at.start : at.stop], items[at.start : at.stop]), 0.0) for at in places]
    fresh: list[Entry] = []
    at_once: list[Entry] = []
    waiting: list[Entry] = []
    for seq, item in zip(seqs, items, strict=True):
        history = histories.get(seq)
        if history is None:
            fresh.append(Entry(seq, item))
        else:
            # Items that must wait do not delay the others.
            group = waiting if history.delay_s else at_once
            group.append(history.entry(seq, item))
    return [
        (
            Call.of(packed, 1 + max(entry.attempts for entry in packed)),
            max(histories[entry.seq].delay_s if entry.seq in histories else 0 for entry in packed),
        )
        for group in (fresh, at_once, waiting)
        for packed in _packed(group, shape, max_items, max_bytes)
    ]


Fits = Callable[[Item], str | None]
"""Returns why no call can carry an item; None: a call can."""


def fit(shape: CompiledShape, max_bytes: int) -> Fits | None:
    """Return a check why no call can carry an item; None: every item fits, as objects do.

    :param max_bytes: the most bytes in the payload of a call
    """
    if shape.longest_item is not None:
        return None

    def reason(item: Item) -> str | None:
        size = len(shape.record(item))
        fitting = fits(size, overhead=shape.overhead, items=1, max_bytes=max_bytes)
        return None if fitting else "too_large"

    return reason


def _packed(
    entries: Sequence[Entry], shape: CompiledShape, max_items: int, max_bytes: int
) -> Iterator[Sequence[Entry]]:
    items, caps = [entry.item for entry in entries], [entry.call_cap for entry in entries]
    for place in _places(items, caps, shape, max_items, max_bytes):
        yield entries[place.start : place.stop]


def _places(
    items: Sequence[Item],
    call_caps: Sequence[int | None],
    shape: CompiledShape,
    max_items: int,
    max_bytes: int,
) -> Iterator[range]:
    """Yield the positions of the items of each call."""
    most = min(max_items, shape.max_items)
    packing = pack(
        _sizes(items, shape, most, max_bytes),
        overhead=shape.overhead,
        max_items=most,
        max_bytes=max_bytes,
        call_caps=call_caps,
    )
    yield from packing.calls
    # An item that fits in no call is sent alone, so that the function's refusal quarantines it.
    yield from (range(at, at + 1) for at in packing.too_large)


def _sizes(
    items: Sequence[Item], shape: CompiledShape, max_items: int, max_bytes: int
) -> list[int]:
    """Return the bytes of each record, or an upper bound if enough of those fit in a call."""
    limit = shape.longest(items)
    if fits(limit, overhead=shape.overhead, items=max_items, max_bytes=max_bytes):
        return [limit] * len(items)
    return list(map(len, shape.records(items)))
