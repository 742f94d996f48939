"""Packing by count, bytes and caps, and bisecting down to the poison."""

import math
from collections import deque
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine import packing
from retrofill.engine.packing import Packing, bisect, cap_after
from retrofill.functions.aws_lambda import MAX_REQUEST_BYTES

OVERHEAD = 4
pack = partial(packing.pack, max_bytes=MAX_REQUEST_BYTES)
MAX_BYTES = 50
sizes = st.lists(st.integers(1, 60), max_size=40)
caps = st.one_of(st.none(), st.integers(1, 8))


def bytes_of(call: range, record_sizes: list[int]) -> int:
    return OVERHEAD + sum(record_sizes[position] for position in call) + len(call) - 1


def test_calls_are_filled_by_count() -> None:
    packed = pack([1] * 7, overhead=2, max_items=3)
    assert packed == Packing((range(3), range(3, 6), range(6, 7)), ())


def test_calls_are_filled_to_the_last_byte() -> None:
    # 4 + 22 + 1 + 23 = 50
    assert pack([22, 23], overhead=4, max_items=9, max_bytes=50).calls == (range(2),)
    assert pack([22, 24], overhead=4, max_items=9, max_bytes=50).calls == (range(1), range(1, 2))


def test_the_payload_limit_is_lambdas() -> None:
    assert MAX_REQUEST_BYTES == 6 * 1024 * 1024
    fits = MAX_REQUEST_BYTES - 14
    assert pack([fits], overhead=14, max_items=1) == Packing((range(1),), ())
    assert pack([fits + 1], overhead=14, max_items=1) == Packing((), (0,))


def test_a_record_too_large_is_reported_and_its_neighbours_are_packed() -> None:
    packed = pack([1, 99, 1, 1], overhead=0, max_items=9, max_bytes=50)
    assert packed == Packing((range(1), range(2, 4)), (1,))


def test_no_records_make_no_calls() -> None:
    assert pack([], overhead=14, max_items=10) == Packing((), ())


def test_a_cap_holds_for_every_call_with_its_item() -> None:
    packed = pack([1] * 8, overhead=0, max_items=9, call_caps=[None, None, 2, 2, 2, None, 1, None])
    assert packed.calls == (range(2), range(2, 4), range(4, 6), range(6, 7), range(7, 8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_items": 0}, "max_items is 0; at least 1 is needed"),
        ({"max_items": 5, "call_caps": [None, 0]}, r"call_caps\[1\] is 0; at least 1 is needed"),
        ({"max_items": 5, "call_caps": [1]}, "1 call_caps for 2 sizes"),
    ],
)
def test_impossible_limits_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pack([1, 1], overhead=0, **arguments)


@given(sizes, st.integers(1, 9), st.data())
def test_every_record_once_in_order_within_every_limit(
    record_sizes: list[int], max_items: int, data: st.DataObject
) -> None:
    count = len(record_sizes)
    call_caps = data.draw(st.lists(caps, min_size=count, max_size=count))
    packed = pack(
        record_sizes,
        overhead=OVERHEAD,
        max_items=max_items,
        max_bytes=MAX_BYTES,
        call_caps=call_caps,
    )
    carried = [position for call in packed.calls for position in call]
    assert carried == sorted(set(range(count)) - set(packed.too_large))
    too_large = tuple(at for at, size in enumerate(record_sizes) if OVERHEAD + size > MAX_BYTES)
    assert packed.too_large == too_large
    for call in packed.calls:
        assert bytes_of(call, record_sizes) <= MAX_BYTES
        own = [cap for position in call if (cap := call_caps[position]) is not None]
        assert 1 <= len(call) <= min([max_items, *own])


@given(sizes, st.integers(1, 9))
def test_no_call_had_room_for_the_next_record(record_sizes: list[int], max_items: int) -> None:
    packed = pack(record_sizes, overhead=OVERHEAD, max_items=max_items, max_bytes=MAX_BYTES)
    for call in packed.calls:
        following = call.stop
        if following < len(record_sizes) and following not in packed.too_large:
            longer = range(call.start, following + 1)
            assert len(longer) > max_items or bytes_of(longer, record_sizes) > MAX_BYTES


@given(st.integers(2, 500))
def test_halves_are_whole_and_within_the_cap(count: int) -> None:
    first, second = bisect(range(count))
    assert [*first, *second] == list(range(count))
    assert len(second) <= len(first) == cap_after(count)
    assert len(first) - len(second) <= 1


@pytest.mark.parametrize("count", [0, 1])
def test_one_item_has_no_halves(count: int) -> None:
    with pytest.raises(ValueError, match=f"a call of {count} items has no halves"):
        bisect(["item"] * count)


@given(st.integers(2, 300), st.data())
def test_poison_is_isolated_with_few_extra_calls(count: int, data: st.DataObject) -> None:
    poison = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    calls, queue, alone = 0, deque([list(range(count))]), set()
    while queue:
        call = queue.popleft()
        calls += 1
        if not poison.intersection(call):
            continue
        if len(call) == 1:
            alone.update(call)
        else:
            queue.extend(map(list, bisect(call)))
    assert alone == poison
    assert calls - 1 <= len(poison) * 2 * math.ceil(math.log2(count))


@given(st.integers(2, 300), st.data())
def test_caps_alone_isolate_the_poison(count: int, data: st.DataObject) -> None:
    """Items that are loaded again and packed by their caps need no more calls than bisecting."""
    poison = data.draw(st.integers(0, count - 1))
    call_caps: list[int | None] = [None] * count
    left, calls = list(range(count)), 0
    while left:
        packed = pack(
            [1] * len(left), overhead=0, max_items=count, call_caps=[call_caps[at] for at in left]
        )
        again = []
        for call in packed.calls:
            calls += 1
            carried = [left[position] for position in call]
            if poison in carried and len(carried) > 1:
                again += carried
                for at in carried:
                    call_caps[at] = cap_after(len(carried))
        left = again
    assert calls - 1 <= 2 * math.ceil(math.log2(count))
