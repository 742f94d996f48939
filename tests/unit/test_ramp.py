"""The slow start of a run, in simulated time."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrofill.engine.ramp import FIRST_CALLS, MIN_CALLS, STEPS, Ramp, Tally

MINUTES = 10
STEP_S = MINUTES * 60 / STEPS
FULL = 50


def tally(calls: int = 100, *, took_s: float = 0.08, failed: int = 0, refused: int = 0) -> Tally:
    observed = Tally()
    for number in range(calls - refused):
        observed.ended("failed" if number < failed else "succeeded", took_s)
    for _ in range(refused):
        observed.ended("throttled", 0.001)
    return observed


def climb(
    ramp: Ramp,
    *,
    since_s: float = 0.0,
    looks: int = STEPS,
    observed: Callable[[Ramp], Tally] = lambda _: tally(),
    full: int = FULL,
) -> list[Ramp]:
    """Return the ramp after each of this many looks, at their regular intervals."""
    ramps = []
    for look in range(1, looks + 1):
        ramp = ramp.at(
            since_s + look * STEP_S, observed(ramp), full=full, minutes=MINUTES, paused=False
        )
        ramps.append(ramp)
    return ramps


def begun(full: int = FULL) -> Ramp:
    return Ramp.begun(0.0, full)


@pytest.mark.parametrize("full", [1, 2, 3, 50, 1_000, 10_000])
def test_without_problems_a_ramp_ends_on_time(full: int) -> None:
    assert begun(full).most(full) == min(FIRST_CALLS, full)
    *before, top = climb(begun(full), full=full)
    levels = [ramp.most(full) for ramp in before]
    assert levels == sorted(levels)
    half_way = math.sqrt(FIRST_CALLS * full)
    assert levels[STEPS // 2 - 1] <= round(half_way), "by the same factor each time"
    assert (top.most(full), top.rate(7.0, full), before[-2].over) == (
        full,
        7.0,
        full <= FIRST_CALLS,
    )
    (over,) = climb(top, since_s=MINUTES * 60, looks=1, full=full)
    assert over.over
    assert over.line(full) is None
    assert over.most(7 * full) == 7 * full, "later changes do not concern the ramp"


def test_a_ramp_is_evaluated_after_enough_time_and_calls() -> None:
    early = begun().at(STEP_S - 0.1, tally(), full=FULL, minutes=MINUTES, paused=False)
    assert (early.looks, early.level) == (0, FIRST_CALLS)
    few = begun()
    for look in range(1, 4):
        few = few.at(look * STEP_S, tally(MIN_CALLS // 3), full=FULL, minutes=MINUTES, paused=False)
        assert (few.looks, few.level) == (0, FIRST_CALLS)
    enough = few.at(4 * STEP_S, tally(2), full=FULL, minutes=MINUTES, paused=False)
    assert enough.looks == 1
    assert FIRST_CALLS < enough.level <= 2 * FIRST_CALLS, "it catches up, by doubling at most"


def test_a_ramp_without_data_stays_unchanged() -> None:
    ramp = begun()
    assert ramp.at(1.0, Tally(), full=FULL, minutes=MINUTES, paused=False) is ramp


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        (tally(took_s=0.31), "p95 rose from 80 to 304 ms"),
        (tally(failed=11), "calls that did not succeed rose from 0 to 11 %"),
        (tally(refused=50), "calls that did not succeed rose from 0 to 50 %"),
    ],
    ids=["slow", "failing", "refused"],
)
def test_problems_hold_a_ramp_then_halve_it_until_they_end(worse: Tally, says: str) -> None:
    well = climb(begun(), looks=12)[-1]
    level, since_s = well.level, 12 * STEP_S
    held, fallen = climb(well, since_s=since_s, looks=2, observed=lambda _: worse)
    assert (held.level, held.why) == (level, says)
    most = f"ramp: at most {round(level)} of 50 calls in flight"
    assert held.line(FULL) == f"{most}; held back because {says}"
    assert (fallen.level, fallen.why) == (level / 2, says)
    (again,) = climb(fallen, since_s=since_s + 2 * STEP_S, looks=1)
    assert again.line(FULL) == f"ramp: at most {again.most(FULL)} of 50 calls in flight"
    assert level / 2 < again.level < level, "it rises from where it was held, as fast as before"


def test_calls_of_a_cold_function_are_not_the_baseline() -> None:
    cold = climb(begun(), looks=1, observed=lambda _: tally(took_s=5.0))[-1]
    (warm,) = climb(cold, since_s=STEP_S, looks=1)
    (slow,) = climb(warm, since_s=2 * STEP_S, looks=1, observed=lambda _: tally(took_s=1.0))
    assert slow.why == "p95 rose from 80 to 956 ms"


def test_short_calls_may_vary_and_a_few_more_may_fail() -> None:
    well = climb(begun(), looks=3, observed=lambda _: tally(took_s=0.004))[-1]
    (varied,) = climb(
        well, since_s=3 * STEP_S, looks=1, observed=lambda _: tally(took_s=0.09, failed=10)
    )
    assert varied.why == ""


def test_refusals_do_not_count_as_durations() -> None:
    ramps = climb(begun(), looks=3, observed=lambda _: tally(refused=100))
    assert [ramp.why for ramp in ramps] == ["", "", ""]
    (first,) = climb(ramps[-1], since_s=3 * STEP_S, looks=1, observed=lambda _: tally(took_s=9.0))
    assert first.why == "", "there is no baseline to compare it with"
    (slower,) = climb(first, since_s=4 * STEP_S, looks=1, observed=lambda _: tally(took_s=30.0))
    assert slower.why.startswith("p95 rose")


def test_problems_that_persist_with_few_calls_do_not_hold_a_ramp() -> None:
    """Items that became large or bad do not hold a run back permanently."""
    well = climb(begun(), looks=12)[-1]
    ramps = climb(
        well, since_s=12 * STEP_S, looks=50, observed=lambda _: tally(took_s=2.0, failed=40)
    )
    assert min(ramp.level for ramp in ramps) == FIRST_CALLS
    assert ramps[-1].over


def test_it_settles_below_the_width_at_which_calls_get_slow() -> None:
    def observed(ramp: Ramp) -> Tally:
        return tally(took_s=0.08 if ramp.most(FULL) <= 20 else 0.4)

    ramps = climb(begun(), looks=100, observed=observed)
    assert not any(ramp.over for ramp in ramps)
    assert sum(ramp.level > 25 for ramp in ramps) == 0
    assert sum(ramp.level > 20 for ramp in ramps[20:]) <= 40, "it is below most of the time"
    assert min(ramp.level for ramp in ramps[20:]) >= 10


def test_a_ramp_does_not_rise_during_a_pause() -> None:
    well = climb(begun(), looks=10)[-1]
    ramp = well
    for second in range(1, 600):
        ramp = ramp.at(10 * STEP_S + second, Tally(), full=FULL, minutes=MINUTES, paused=True)
    (resumed,) = climb(ramp, since_s=10 * STEP_S + 600, looks=1)
    (unpaused,) = climb(well, since_s=10 * STEP_S, looks=1)
    assert resumed.level == pytest.approx(unpaused.level, rel=0.02)


@settings(deadline=None)
@given(
    observed=st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from([0.001, 0.08, 0.5, 9.0]),
            st.integers(0, 60),
            st.integers(1, 120),
            st.booleans(),
        ),
        max_size=60,
    ),
    full=st.integers(1, 500),
)
def test_a_ramp_stays_within_its_bounds_and_survives_storage(
    observed: list[tuple[int, float, int, int, bool]], full: int
) -> None:
    ramp, now_s = begun(full), 0.0
    for calls, took_s, failed, passed_s, paused in observed:
        now_s += passed_s
        before = ramp
        ramp = ramp.at(
            now_s, tally(calls, took_s=took_s, failed=failed),
            full=full, minutes=MINUTES, paused=paused,
        )  # fmt: skip
        assert min(FIRST_CALLS, full) <= ramp.most(full) <= full
        assert ramp.level <= 2 * before.level
        if ramp.why:
            assert ramp.level <= before.level, "it never rises when calls get worse"
        assert Ramp.from_json_if_any(json.loads(json.dumps(ramp.as_json()))) == ramp
