"""Ranges of keys cover everything once and are about equal."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.sources.s3 import keyspace
from retrofill.sources.s3.keyspace import KeyRange, Look, divide, sort_into

# Few characters, so that keys share prefixes; among them the neighbours of the surrogates, the
# greatest character and NUL.
_CHARACTERS = st.sampled_from("ab/019~é一\ud7ff\ue000\U0010ffff\0")
_KEYS = st.lists(st.text(_CHARACTERS, min_size=1, max_size=8), unique=True, max_size=80)


class KeySpace:
    """Keys in memory, and how often they were looked at."""

    def __init__(self, keys: Sequence[str], seen_at_once: int = 100) -> None:
        self.keys = sorted(keys)
        self.looks = 0
        self._seen_at_once = seen_at_once

    def peek(self, after: str) -> Look:
        self.looks += 1
        after.encode()
        first = bisect_right(self.keys, after)
        keys = self.keys[first : first + self._seen_at_once]
        return Look(keys, more=first + len(keys) < len(self.keys))

    def sizes(self, ranges: list[KeyRange]) -> list[int]:
        bounds = [bisect_right(self.keys, keys.after) for keys in ranges]
        return [after - before for before, after in pairwise([*bounds, len(self.keys)])]


@given(keys=_KEYS, prefix=st.text(_CHARACTERS, max_size=2), parts=st.integers(1, 20))
def test_ranges_follow_each_other_without_a_gap(keys: list[str], prefix: str, parts: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyspace, "KEYS_WORTH_A_RANGE", 2)
        space = KeySpace([key for key in keys if key.startswith(prefix)], seen_at_once=3)
        ranges = divide(prefix, space.peek, parts)
        assert len(ranges) <= parts
        assert space.looks <= 60 + 12 * parts
    assert ranges[0].after == ""
    assert ranges[-1].end is None
    for one, other in pairwise(ranges):
        assert one.end == other.after
        assert one.end is not None
        assert one.after < one.end
        assert one.end.startswith(prefix)
        assert "\0" not in one.end
        one.end.encode()


@given(cuts=st.sets(st.text(_CHARACTERS, min_size=1, max_size=3)), keys=_KEYS)
def test_each_key_counts_in_its_one_range(cuts: set[str], keys: list[str]):
    ordered = sorted(cuts)
    ranges = [
        KeyRange(after, end) for after, end in zip(["", *ordered], [*ordered, None], strict=True)
    ]
    assert [len(keys) for keys in sort_into(ranges, keys)] == [
        sum(key > one.after and (one.end is None or key <= one.end) for key in keys)
        for one in ranges
    ]


def test_no_range_holds_few_keys():
    assert divide("", KeySpace([f"{number:05}" for number in range(5_000)]).peek, 16) == [
        KeyRange("", None)
    ]


def test_few_keys_in_a_look_do_not_end_the_search():
    keys = [f"{number:06}" for number in range(100_000)]
    many, few = KeySpace(keys), KeySpace(keys, seen_at_once=7)
    assert len(divide("", many.peek, 5)) == len(divide("", few.peek, 5)) == 5


def test_an_empty_key_space_is_one_range():
    assert divide("p/", KeySpace([]).peek, 16) == [KeyRange("", None)]


_LAYOUTS: dict[str, Callable[[int], str]] = {
    "numbers in one flat prefix": lambda number: f"img_{number:09}.jpg",
    "numbers without zeros before them": lambda number: f"item-{number}",
    "hexadecimal hashes": lambda number: f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}.json",
    "days and hours": lambda number: (
        f"events/dt=2025-{number % 12 + 1:02}-{number // 12 % 28 + 1:02}"
        f"/hour={number // 336 % 24:02}/part-{number // 8064:05}.parquet"
    ),
    "many folders of few": lambda number: f"users/{number // 40:06}/{number % 40}",
    "a long constant beginning and end": lambda number: (
        f"a/very/long/path/of/a/folder/{number:06}/and/the/name/of/a/file"
    ),
    "ideographs": lambda number: f"{chr(0x4E00 + number % 3_000)}{number}",
}


@pytest.mark.parametrize("key", _LAYOUTS.values(), ids=_LAYOUTS)
def test_ranges_are_about_equal(key: Callable[[int], str]):
    space = KeySpace([key(number) for number in range(200_000)])
    ranges = divide("", space.peek, 8)
    sizes = space.sizes(ranges)
    assert len(sizes) >= 6
    assert max(sizes) < 3 * len(space.keys) / len(sizes)


def test_a_shared_prefix_does_not_take_a_look_per_character():
    space = KeySpace([f"{'constant/' * 100}{number:06}" for number in range(50_000)])
    # 84 looks, and 900 characters.
    assert len(space.sizes(divide("", space.peek, 2))) == 2


def test_the_characters_around_the_surrogates_are_used():
    keys = [f"{char}{number:05}" for char in "\ud7fe\ud7ff\ue000\ue001" for number in range(20_000)]
    space = KeySpace(keys)
    assert space.sizes(divide("", space.peek, 4)) == [20_000] * 4


def test_a_heavy_prefix_is_divided_and_light_ones_are_not():
    heavy = [f"a{number:06}" for number in range(300_000)]
    light = [f"{letter}{number:04}" for letter in "bcdefgh" for number in range(2_000)]
    space = KeySpace(heavy + light)
    sizes = space.sizes(divide("", space.peek, 8))
    assert len(sizes) == 8
    assert max(sizes) < 1.5 * len(space.keys) / 8
