"""Which causes of failure stop a run."""

import pytest
from retrofill.engine.causes import CallCount, exceeded
from retrofill.engine.outcomes import REFUSED, Cause, Outcome
from retrofill.model.troubles import CAUSES, LIMITED, OUTCOMES

GOOD = CallCount("succeeded", "", 90, 900)


def test_troubles_are_named_by_outcome_and_cause() -> None:
    assert set(CAUSES) == set(Cause)
    assert set(OUTCOMES) == set(Outcome) - {Outcome.SUCCEEDED} | {"lost"}
    assert set(LIMITED) == set(CAUSES) | set(OUTCOMES) - {"failed", "misconfigured"}
    assert set(REFUSED) < set(OUTCOMES)


@pytest.mark.parametrize(
    ("most", "ended", "says"),
    [
        (
            {"timed_out": 5, "unknown": 99},
            [GOOD, CallCount("failed", "timed_out", 10, 100)],
            "timed_out: 100 of 1,000 items in calls that ended, 10 %, more than 5 %",
        ),
        (
            {"unknown": 0.5},
            [GOOD, CallCount("unknown", "", 1, 6)],
            "unknown: 6 of 906 items in calls that ended, 0.662 %, more than 0.5 %",
        ),
        (
            {"throttled": 20},
            [GOOD, CallCount("throttled", "", 30, 30)],
            "throttled: 30 of 120 calls that ended, 25 %, more than 20 %",
        ),
        (
            {"lost": 0},
            [GOOD, CallCount("lost", "", 1, 1)],
            "lost: 1 of 901 items in calls that ended, 0.111 %, more than 0 %",
        ),
    ],
)
def test_a_cause_above_its_limit_stops_the_run(
    most: dict[str, float], ended: list[CallCount], says: str
) -> None:
    assert exceeded(most, ended, 900) == f"max_percent_by_cause: {says}"


@pytest.mark.parametrize(
    ("most", "ended"),
    [
        ({}, [CallCount("failed", "timed_out", 900, 900)]),
        ({"timed_out": 10}, [GOOD, CallCount("failed", "timed_out", 10, 100)]),
        ({"timed_out": 5}, [GOOD, CallCount("failed", "crashed", 90, 900)]),
        ({"timed_out": 100}, [CallCount("failed", "timed_out", 900, 900)]),
        ({"timed_out": 5}, [CallCount("failed", "timed_out", 899, 899)]),
        ({"throttled": 5}, [CallCount("throttled", "", 899, 899)]),
        ({"throttled": 5}, []),
    ],
)
def test_other_causes_and_small_samples_do_not_stop_a_run(
    most: dict[str, float], ended: list[CallCount]
) -> None:
    assert exceeded(most, ended, 900) is None


def test_refused_calls_do_not_dilute_the_percentage() -> None:
    ended = [
        GOOD,
        CallCount("failed", "timed_out", 10, 100),
        CallCount("throttled", "", 10_000, 10_000),
    ]
    reason = exceeded({"timed_out": 5}, ended, 1_000)
    assert reason is not None
    assert "100 of 1,000 items" in reason
    refused_only = [
        CallCount("throttled", "", 10_000, 10_000),
        CallCount("failed", "timed_out", 1, 1),
    ]
    assert exceeded({"timed_out": 5}, refused_only, 1_000) is None, "the sample is what ran"
