"""The pulse of a task: slices of the run's time that add up to all it saw."""

from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.progress import Progress, Settled
from retrofill.engine.pulse import Pulse, rung_of, slice_at
from retrofill.model.calls import EndedCall, Settlement, Span
from retrofill.model.pulse import Slice


class Task:
    """A task with its counts and its pulse."""

    def __init__(self, *, now: float) -> None:
        self.calls = self.succeeded = 0
        self.troubles = Counter[str]()
        self.pulse = Pulse(self.total, now=now)

    def total(self) -> Settled:
        return Settled(Counter(succeeded=self.calls), self.troubles.copy(), self.succeeded)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (0, (0, 5)), (4.99, (0, 5)), (5, (5, 5)), (599.9, (595, 5)), (600, (600, 60)),
        (659, (600, 60)), (86_399, (86_340, 60)), (86_400, (86_400, 600)), (90_000, (90_000, 600)),
    ],
)  # fmt: skip
def test_slices_are_short_at_first(age_s: float, expected: tuple[int, int]) -> None:
    assert slice_at(age_s) == expected


@given(st.floats(0, 1e7))
def test_every_second_is_in_one_slice(age_s: float) -> None:
    second, seconds = slice_at(age_s)
    assert second <= age_s < second + seconds
    assert slice_at(second + seconds)[0] == second + seconds


@given(st.floats(0, 1_000))
def test_durations_in_one_bucket_differ_by_a_fifth_at_most(took_s: float) -> None:
    rung = rung_of(took_s)
    least, most = (2 ** ((rung - 1) / 4), 2 ** (rung / 4)) if rung else (0, 1)
    assert least * (1 - 1e-9) <= took_s * 1000 <= most * (1 + 1e-9)


def test_an_observation_goes_into_the_slice_of_its_time() -> None:
    task = Task(now=100.0)
    task.pulse.adopt(3.0, 50, asked_at=100.0)
    task.calls, task.succeeded = 10, 20
    task.pulse.took(0.05)
    task.pulse.tick(101.0, 4)
    assert task.pulse.take() == []
    task.calls, task.troubles["timed_out"] = 13, 3
    task.pulse.tick(102.0, 2)
    (first,) = task.pulse.take()
    assert first == Slice(
        0, 5, 13, 20, 0, {"timed_out": 3}, 6.0, 50, [0] * rung_of(0.05) + [1]
    )  # fmt: skip
    task.calls += 1
    task.pulse.adopt(8.0, 25, asked_at=105.0)
    (second,) = task.pulse.take_all(105.0, 1)
    assert (second.second, second.calls, second.troubles, second.most_in_flight) == (5, 1, {}, 25)
    assert task.pulse.take() == []


def test_a_slice_without_events_is_not_written() -> None:
    task = Task(now=0.0)
    task.pulse.adopt(0.0, 5, asked_at=0.0)
    task.pulse.tick(60.0, 0)
    assert task.pulse.take_all(61.0, 0) == []


@given(
    st.lists(st.tuples(st.floats(0.001, 30), st.floats(-0.5, 0), st.integers(0, 9)), max_size=60)
)
def test_slices_are_consecutive_and_add_up_to_everything_seen(
    turns: list[tuple[float, float, int]],
) -> None:
    """This holds whenever the task looks, and however late it learns the run's age."""
    task, now, opened_at = Task(now=10.0), 10.0, 3.0
    taken: list[Slice] = []
    for passed_s, late_s, calls in turns:
        now += passed_s
        task.pulse.tick(now, calls)
        taken += task.pulse.take()
        task.pulse.adopt(now - late_s - opened_at, 9, asked_at=now)
        task.calls += calls
        for _ in range(calls):
            task.pulse.took(passed_s)
    taken += task.pulse.take_all(now, 0)
    seconds = [one.second for one in taken]
    assert seconds == sorted(set(seconds))
    assert sum(one.calls for one in taken) == task.calls
    assert sum(sum(one.latency) for one in taken) == task.calls
    assert all(one.second + one.seconds <= now - opened_at + 600.5 for one in taken)
    assert sum(one.call_seconds for one in taken) < inf


def test_no_slice_repeats_if_the_run_turns_out_younger() -> None:
    task = Task(now=100.0)
    task.pulse.adopt(3.0, 9, asked_at=100.0)
    task.pulse.adopt(2.5, 9, asked_at=100.0)
    for now in (102.0, 102.1, 102.5, 102.6, 107.6):
        task.calls += 1
        task.pulse.tick(now, 1)
    assert [one.second for one in task.pulse.take()] == [0, 5]
    assert [one.second for one in task.pulse.take_all(107.7, 1)] == [10]


def test_progress_names_troubles_by_cause_or_outcome() -> None:
    progress = Progress(9, now=0.0)
    ended = [
        EndedCall(1, "succeeded"),
        EndedCall(2, "failed", cause="timed_out"),
        EndedCall(3, "failed"),
        EndedCall(4, "throttled"),
    ]
    progress.settled(Settlement(ended=ended, succeeded=[(Span(1, 5), 1)]))
    seen = progress.total
    assert seen.outcomes == {"succeeded": 1, "failed": 2, "throttled": 1}
    assert seen.troubles == {"timed_out": 1, "failed": 1, "throttled": 1}
    assert (seen.succeeded, seen.quarantined) == (5, 0)
