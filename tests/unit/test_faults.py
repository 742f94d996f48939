"""Fault points: how to arm them, what they do, and that unarmed ones do nothing."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from retrofill import faults
from retrofill.faults import ACTIONS, VARIABLE, InjectedError, Point, armed, injected, reach
from retrofill.model.errors import StateUnavailable

PLAN = "call.answered:2:raise"
REACH_TWICE = """
from retrofill.faults import Point, reach
for number in (1, 2):
    reach(Point.CALL_ANSWERED)
    print(number, flush=True)
"""


def reaching(plan: str | None) -> subprocess.CompletedProcess[str]:
    """Run a process that reaches a point twice."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run(  # noqa: S603  our own text
        [sys.executable, "-c", REACH_TWICE],
        env=environment | ({} if plan is None else {VARIABLE: plan}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_armed_fault_nothing_happens() -> None:
    assert faults._act is None  # noqa: SLF001  what makes the points cost nothing
    for point in Point:
        reach(point)


@pytest.mark.parametrize("plan", [None, ""])
def test_a_process_without_a_plan_goes_through_its_points(plan: str | None) -> None:
    process = reaching(plan)
    assert (process.returncode, process.stdout) == (0, "1\n2\n")


def test_the_environment_arms_a_process() -> None:
    process = reaching("call.answered:2:kill")
    assert (process.returncode, process.stdout) == (-9, "1\n")


def test_an_unreadable_plan_stops_the_process_before_it_starts() -> None:
    process = reaching("call.answered:2:explode")
    assert process.returncode == 1
    assert "RETROFILL_FAULT: 'call.answered:2:explode' is not allowed; give" in process.stderr
    assert process.stdout == ""


def test_a_fault_comes_at_the_nth_time_and_once() -> None:
    act = armed(PLAN)
    act(Point.CALL_ANSWERED)
    act(Point.CALLS_SENT)
    with pytest.raises(InjectedError):
        act(Point.CALL_ANSWERED)
    act(Point.CALL_ANSWERED)


def test_several_faults_may_be_armed() -> None:
    act = armed(f"{PLAN}, settle.written:1:lose,run.closed:1:raise")
    with pytest.raises(StateUnavailable):
        act(Point.SETTLE_WRITTEN)
    with pytest.raises(InjectedError):
        act(Point.RUN_CLOSED)


@pytest.mark.parametrize(
    "plan",
    [
        "call.answered",
        "call.answered:2",
        "call.answered:2:raise:x",
        "call:2:raise",
        "CALL_ANSWERED:2:raise",
        "call.answered:two:raise",
        "call.answered:0:raise",
        "call.answered:-1:raise",
        "call.answered:2:",
        "call.answered:2:raise,",
        ",",
    ],
)
def test_a_bad_plan_is_reported_with_what_is_allowed(plan: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE) as error:
        armed(plan)
    for word in (*Point, *ACTIONS):
        assert word in str(error.value)


def test_a_test_may_act_at_each_point_for_a_while() -> None:
    reached: Counter[Point] = Counter()

    def note(point: Point) -> None:
        reached[point] += 1

    with injected(note):
        reach(Point.RUN_CLOSED)
        with injected(armed("run.closed:1:raise")), pytest.raises(InjectedError):
            reach(Point.RUN_CLOSED)
        reach(Point.RUN_CLOSED)
    reach(Point.RUN_CLOSED)
    assert reached == {Point.RUN_CLOSED: 2}
