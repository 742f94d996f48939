"""Portions: each item of a batch is in one, and each is as small as possible."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine import portions
from retrofill.engine.portions import PORTION_BYTES, Portion, divide, is_one

MB = 2**20
sizes = st.lists(st.sampled_from([0, 60, 1_000, MB, 3 * MB, PORTION_BYTES, 2 * PORTION_BYTES]))


@given(sizes, st.integers(1, 5), st.integers(1, 3))
def test_each_item_is_in_one_portion(sizes: list[int], of: int, step: int) -> None:
    seqs = list(range(7, 7 + step * len(sizes), step))
    divided = divide(seqs, sizes, of=of)
    held = [[seq for seq in seqs if one.first_seq <= seq <= one.last_seq] for one in divided]
    assert [seq for numbers in held for seq in numbers] == seqs
    assert [len(numbers) for numbers in held] == [one.items for one in divided]
    assert all(before.last_seq < after.first_seq for before, after in pairwise(divided))


@given(sizes, st.integers(1, 5))
def test_portions_are_neither_too_large_nor_too_small(sizes: list[int], of: int) -> None:
    divided = divide(range(len(sizes)), sizes, of=of)
    for one in divided:
        assert one.items == 1 or sum(sizes[one.first_seq : one.last_seq + 1]) <= PORTION_BYTES
    for one in divided[:-1]:
        further = (
            one.first_seq + (one.items // of + 1) * of if one.items >= of else one.last_seq + 2
        )
        assert sum(sizes[one.first_seq : further]) > PORTION_BYTES or further > len(sizes)


def test_the_end_of_a_portion_makes_no_call_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_BYTES", 10)
    assert divide(range(20), [1] * 20, of=3) == [
        Portion(0, 8, 9),
        Portion(9, 17, 9),
        Portion(18, 19, 2),
    ]
    assert [one.items for one in divide(range(20), [4] * 20, of=3)] == [2] * 10
    assert is_one(10)
    assert not is_one(11)
