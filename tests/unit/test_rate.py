"""The limit of calls per second, in simulated time."""

import math
from bisect import bisect_left

import pytest
from retrofill.engine.rate import BURST_S, RateLimit


def starts(limit: RateLimit, seconds: float, step: float = 0.003) -> list[float]:
    """Start every allowed call, looking every few milliseconds; return each start time."""
    times: list[float] = []
    now = 0.0
    while now < seconds:
        room = limit.room(10_000, now)
        limit.started(room)
        times += [now] * room
        now += step
    return times


@pytest.mark.parametrize("rate", [0.5, 1, 7, 100, 1_000])
def test_no_second_has_more_calls_than_the_limit_and_a_burst(rate: float) -> None:
    times = starts(RateLimit(rate, now=0.0), 10)
    assert len(times) >= rate * 10 * 0.95
    most = rate + max(1.0, rate * BURST_S) + 1
    for number, begin in enumerate(times):
        assert bisect_left(times, begin + 1) - number <= most


def test_without_a_limit_any_number_may_start() -> None:
    limit = RateLimit(None, now=0.0)
    assert limit.room(10_000, 0.0) == 10_000
    assert limit.next_in(0.0) == 0


def test_it_knows_when_the_next_call_may_start() -> None:
    limit = RateLimit(2, now=0.0)
    limit.started(1)
    assert limit.room(9, 0.0) == 0
    assert limit.next_in(0.0) == pytest.approx(0.5)
    assert limit.room(9, 0.5) == 1


def test_it_can_be_changed() -> None:
    limit = RateLimit(1, now=0.0)
    limit.started(1)
    limit.set(100, 0.0)
    assert limit.room(9, 0.05) == 5
    limit.set(None, 0.1)
    assert limit.room(10_000, 0.1) == 10_000


def test_a_share_of_zero_starts_no_call_until_it_grows():
    limit = RateLimit(0.0, now=0.0)
    limit.started(limit.room(1, 0.0))
    assert (limit.room(1, 100.0), limit.next_in(100.0)) == (0, math.inf)
    limit.set(2.0, 100.0)
    assert limit.next_in(100.0) == 0.5
