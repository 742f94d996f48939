"""Sampling: each item has the same chance, and each column is covered evenly."""

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.sampling import choose, systematic


class Begin:
    """A random source that starts where a test says."""

    def __init__(self, begin: int) -> None:
        self._begin = begin

    def randrange(self, of: int) -> int:
        assert self._begin < of
        return self._begin


def begin(number: int) -> Any:
    return Begin(number)


@given(st.integers(1, 60), st.integers(0, 80))
def test_each_place_is_as_likely_as_any_other(of: int, take: int) -> None:
    samples = [systematic(of, take, begin(number)) for number in range(of)]
    wanted = min(take, of)
    assert all(len(set(sample)) == wanted and sorted(sample) == sample for sample in samples)
    counts = Counter(place for sample in samples for place in sample)
    assert counts == (dict.fromkeys(range(of), wanted if take < of else of) if take else {})


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1), st.integers(0, 200))
def test_the_wanted_number_is_chosen_without_repeats(
    items: list[tuple[float, float]], take: int
) -> None:
    columns = [range(len(items)), *zip(*items, strict=True)]
    chosen = choose(columns, take, Random(1))  # noqa: S311
    assert len(chosen) == min(take, len(items))
    assert sorted(set(chosen)) == chosen
    assert set(chosen) <= set(range(len(items)))


def test_every_item_has_the_same_chance_whatever_its_size() -> None:
    sizes, ages = [number**3 for number in range(40)], [number % 7 for number in range(40)]
    rng = Random(5)  # noqa: S311
    counts = Counter(
        item for _ in range(8_000) for item in choose([range(40), sizes, ages], 9, rng)
    )
    # Of 8,000 draws 1,800 are expected; five standard deviations are 187.
    assert all(abs(counts[item] - 1_800) < 187 for item in range(40))


def test_keys_sizes_and_ages_are_all_covered() -> None:
    rng = Random(9)  # noqa: S311
    sizes = [int(rng.lognormvariate(10, 2)) for _ in range(9_000)]
    ages = [rng.random() for _ in range(9_000)]
    chosen = choose([range(9_000), sizes, ages], 180, rng)
    for column in (list(range(9_000)), sizes, ages):
        ranks = {
            item: rank for rank, item in enumerate(sorted(range(9_000), key=column.__getitem__))
        }
        tenths = Counter(ranks[item] * 10 // 9_000 for item in chosen)
        assert min(tenths[tenth] for tenth in range(10)) >= 6, "a third of 180 is 6 a tenth"
