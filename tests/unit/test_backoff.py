import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.backoff import BASE_S, CAP_S, RETRY_AFTER_CAP_S, backoff_s

draws = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10**9)


def test_the_longest_wait_doubles_up_to_the_cap():
    longest = [backoff_s(attempt, 1.0, None) for attempt in range(1, 10)]
    assert longest == [0.5, 1, 2, 4, 8, 16, 32, CAP_S, CAP_S]


@pytest.mark.parametrize("attempt", [1, 5, 100, 10**6])
def test_jitter_is_full(attempt):
    assert backoff_s(attempt, 0.0, None) == 0
    assert backoff_s(attempt, 0.5, None) == backoff_s(attempt, 1.0, None) / 2


@given(attempts, draws)
def test_a_wait_is_never_negative_nor_above_the_cap(attempt, draw):
    assert 0 <= backoff_s(attempt, draw, None) <= CAP_S


@given(attempts, draws, st.floats(0, RETRY_AFTER_CAP_S))
def test_a_wait_is_at_least_what_the_reply_asks_for_and_spread_out(attempt, draw, retry_after_s):
    wait_s = backoff_s(attempt, draw, retry_after_s)
    assert wait_s >= retry_after_s
    assert wait_s == pytest.approx(retry_after_s + backoff_s(attempt, draw, None))


def test_a_reply_cannot_delay_a_call_for_ever():
    assert backoff_s(1, 0.0, 1e300) == RETRY_AFTER_CAP_S


def test_a_negative_retry_after_is_ignored():
    assert backoff_s(1, 1.0, -5.0) == BASE_S
