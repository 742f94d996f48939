"""Fit: lines through measurements, and intervals with the stated coverage."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.fit import Range, least_squares, percentile

amounts = st.integers(0, 10**6)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.lists(amounts, min_size=4, max_size=30))
def test_a_line_without_noise_is_found(base: float, slope: float, places: list[int]) -> None:
    values = [base + slope * place for place in places]
    found = least_squares([(1.0, place) for place in places], values)
    if found is None:  # fewer than two places, but for one measurement
        return
    scale = 1 + abs(base) + abs(slope) * max(places)
    total = found.total((10.0, 20.0), 10)
    assert total.low <= (total.likely or 0) <= total.high
    assert found.coefficients[0] + found.coefficients[1] * max(places) == pytest.approx(
        base + slope * max(places), abs=1e-3 * scale
    )


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1.0,)],
        [(1.0, 5.0), (1.0, 5.0), (1.0, 5.0)],
        [(1.0, 5.0), (1.0, 5.0), (1.0, 6.0)],
        [(1.0, 2.0, 2.0), (1.0, 3.0, 3.0), (1.0, 4.0, 4.0), (1.0, 5.0, 5.0)],
        [(0.0,), (0.0,), (0.0,)],
    ],
)
def test_terms_that_the_rows_do_not_determine_are_not_fitted(rows: list[tuple[float, ...]]) -> None:
    assert least_squares(rows, [float(at) for at in range(len(rows))]) is None


def test_the_interval_of_a_sum_covers_it_as_often_as_stated() -> None:
    """With noise that grows with the value, as in durations, 95 of 100 intervals hold."""
    rng = random.Random(7)  # noqa: S311
    held = 0
    for _ in range(400):
        sizes = [rng.lognormvariate(0, 1) for _ in range(1_000)]
        truth = [20 + 5 * size * rng.uniform(0.5, 1.5) for size in sizes]
        chosen = rng.sample(range(1_000), 100)
        found = least_squares([(1.0, sizes[at]) for at in chosen], [truth[at] for at in chosen])
        assert found is not None
        low, _, high = found.total((1_000.0, sum(sizes)), 1_000)
        held += low <= sum(truth) <= high
    assert 365 <= held <= 400


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(1, 100))
def test_a_percentile_is_the_smallest_value_that_covers_the_share(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    below = [value for value in values if value < found]
    assert len(below) < len(values) * percent / 100


def test_ranges() -> None:
    exact, guess = Range.exactly(4), Range(1, 2, 9)
    assert exact.is_exact
    assert not guess.is_exact
    assert exact.plus(guess) == (5, 6, 13)
    assert exact.plus(Range(0, None, 1)) == (4, None, 5)
    assert guess.scaled(3) == (3, 6, 27)
    assert guess.within(1.5, 4) == (1.5, 2, 4)
    assert Range(-5, None, 50).within(0, 10) == (0, None, 10)
