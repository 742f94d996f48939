"""Pace: whether items match a run's calls in number and speed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.feedback import Calling
from retrofill.engine.pace import SLACK, TENTHS, Pace, is_multiple, keeps_pace, stands_out

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
CALLS = 600


def at(*seconds: float) -> list[datetime]:
    return [BEGAN + timedelta(seconds=one) for one in seconds]


def pace_of(sent: Sequence[float], took: float) -> Pace:
    ordered = sorted(sent)
    places = [min(int(share * len(ordered)), len(ordered) - 1) for share in TENTHS]
    starts = [ordered[place] for place in places]
    return Pace(at(*starts), at(*(one + took for one in starts)))


STEADY = pace_of(range(CALLS), 2.0)


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_outputs_have_the_pace_of_the_calls(outputs: int) -> None:
    times = at(*(call + 1.5 for call in range(CALLS) for _ in range(outputs)))
    assert keeps_pace(times, STEADY)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param([call / 10 for call in range(CALLS)], id="in a burst at the beginning"),
        pytest.param([500 + call / 10 for call in range(CALLS)], id="in a burst at the end"),
        pytest.param([300.0] * CALLS, id="at once"),
        pytest.param([0.0] * 300 + [599.0] * 300, id="at both ends"),
        pytest.param([1.0] * 19, id="too few"),
    ],
)
def test_uploads_by_others_have_another_pace(seconds: list[float]) -> None:
    assert not keeps_pace(at(*seconds), STEADY)


def test_the_pace_of_a_short_run_proves_nothing() -> None:
    short = pace_of([call / 10 for call in range(CALLS)], 2.0)
    assert not keeps_pace(at(*(call / 10 for call in range(CALLS))), short)
    long_calls = pace_of(range(CALLS), 150.0)
    assert not keeps_pace(at(*range(CALLS)), long_calls)


@given(st.lists(st.floats(0, 600), min_size=40, max_size=400), st.floats(0, 5))
def test_outputs_match_any_pace_of_calls(sent: list[float], took: float) -> None:
    made = pace_of(sent, took)
    span = made.ended[-1] - made.sent[0]
    expected = span >= timedelta(seconds=6 * (took + 12))
    assert keeps_pace(at(*(one + took for one in sent)), made) in {expected, True}


@pytest.mark.parametrize(
    ("items", "calls", "carried", "same"),
    [
        (600, 600, 600, True),
        (1_200, 600, 600, True),
        (2_400, 600, 600, True),
        (3_000, 600, 600, False),
        (600, 6, 600, True),
        (620, 600, 600, True),
        (700, 600, 600, False),
        (300, 600, 600, False),
        (19, 19, 19, False),
    ],
)
def test_outputs_number_one_to_a_few_per_call(
    items: int, calls: int, carried: int, *, same: bool
) -> None:
    calling = Calling(1, BEGAN, BEGAN, calls, carried)
    assert is_multiple(items, calling, slack=SLACK) is same


def test_a_pace_is_only_compared_with_a_time_without_calls() -> None:
    calling = Calling(1, BEGAN, BEGAN + timedelta(minutes=10), CALLS, CALLS)
    within, day = at(*range(CALLS)), BEGAN + timedelta(days=1)
    outside = at(*range(1_000, 86_000, 100))
    assert stands_out(within, calling, day)
    assert stands_out([*within, *outside], calling, day), "new originals come all day"
    steady = at(*range(0, 86_000, 10))
    assert not stands_out(steady, calling, day), "the same number come at any other time"
    assert not stands_out(within, calling, BEGAN + timedelta(minutes=15)), "it called all the time"
