"""The cap that runs of one function share: how it is divided, and that it holds."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrofill.engine.ramp import Ramp
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.engine.sharing import Claim, divide, part_of
from retrofill.model.limits import Limits

CLAIMS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 1_000)), min_size=1, max_size=6)


def limits(cap: int | None, priority: int = 10, **more: Any) -> Limits:
    return Limits(
        **{"max_concurrency": 10_000, "max_items_per_set": 1} | more,
        function_concurrency=cap,
        priority=priority,
    )


@given(places=st.integers(0, 500), claims=CLAIMS)
def test_a_place_goes_to_the_run_with_the_least_for_its_weight(
    places: int, claims: list[tuple[int, int]]
) -> None:
    parts = divide(places, claims)
    assert sum(parts) == min(places, sum(wanted for wanted, _ in claims))
    for part, (wanted, weight) in zip(parts, claims, strict=True):
        assert 0 <= part <= wanted
        if part == wanted:
            continue
        for other, (_, weighs) in zip(parts, claims, strict=True):
            assert (other - 1) / weighs <= part / weight, "it was this run's turn"


@pytest.mark.parametrize(
    ("places", "claims", "parts"),
    [
        (60, [(100, 10), (100, 10)], [30, 30]),
        (60, [(100, 20), (100, 10)], [40, 20]),
        (60, [(100, 20), (0, 10)], [60, 0]),
        (60, [(100, 20), (5, 10)], [55, 5]),
        (60, [(100, 1_000), (100, 1), (100, 1)], [58, 1, 1]),
        (1, [(100, 10), (100, 20)], [0, 1]),
        (0, [(100, 10), (100, 20)], [0, 0]),
    ],
    ids=str,
)
def test_places_are_divided_by_priority(
    places: int, claims: list[tuple[int, int]], parts: list[int]
) -> None:
    assert divide(places, claims) == parts


def test_the_lowest_cap_of_open_runs_applies_and_is_named() -> None:
    own = Claim(limits(60), 100, 0, 0)
    lower = Claim(limits(40, 30), 100, 0, 0, run_id=7)
    part = part_of(own, [lower])
    assert (part.calls, part.free) == (10, 40)
    assert part.words == (
        "function_concurrency: up to 10 of 40 calls in flight at priority 10, shared with run 7;"
        " 40 is the lowest, set by run 7"
    )
    assert part_of(own, [lower._replace(is_open=False)]).calls == 60


def test_calls_of_runs_without_the_cap_count_and_are_shown() -> None:
    part = part_of(Claim(limits(60), 100, 0, 0), [Claim(limits(None), 100, 15, 5, run_id=7)])
    assert (part.calls, part.free) == (40, 40)
    assert part.words == (
        "function_concurrency: up to 40 of 60 calls in flight; 20 are held by closed runs, or"
        " runs without this limit"
    )


@pytest.mark.parametrize(
    "other",
    [
        Claim(limits(60, paused=True), 100, 0, 0),
        Claim(limits(60), 100, 0, 0, is_stopped=True),
        Claim(limits(60), 0, 0, 0),
    ],
    ids=["paused", "stopped", "done"],
)
def test_a_run_that_cannot_send_gets_no_place(other: Claim) -> None:
    assert part_of(Claim(limits(60), 100, 0, 0), [other]).calls == 60


def test_a_run_gets_no_more_than_its_own_limits_allow() -> None:
    own = Claim(limits(60), 100, 0, 0)
    assert part_of(own, [Claim(limits(60, max_concurrency=7), 100, 0, 0)]).calls == 53
    foot = Ramp.begun(0.0, 60)
    assert part_of(own, [Claim(limits(60), 100, 0, 0, ramp=foot)]).calls == 58


def test_calls_of_a_lost_task_count_for_their_run() -> None:
    own = Claim(limits(60), 100, 0, 0)
    assert part_of(own, [Claim(limits(60), 100, 0, 20)])[:2] == (30, 40)
    assert part_of(own, [Claim(limits(60), 0, 0, 20)])[:2] == (40, 40)


@dataclass
class Task:
    """An invoke task, as the shares see it."""

    run: int
    number: int
    wanted: int = 0
    share: int = 0
    in_flight: int = 0
    allotted: int = 0
    orphans: int = 0
    active: bool = False


@dataclass
class World:
    """Runs of one function, whose tasks ask in turn; the last run does not share the cap."""

    caps: list[int | None]
    priorities: list[int]
    tasks: list[Task] = field(default_factory=list)

    def limits(self, run: int) -> Limits:
        return limits(self.caps[run], self.priorities[run])

    def claim(self, run: int) -> Claim:
        own = [one for one in self.tasks if one.run == run]
        return Claim(
            self.limits(run),
            wanted=sum(one.wanted for one in own if one.active),
            held=sum(one.allotted for one in own if one.active),
            gone=sum(one.orphans + (0 if one.active else one.allotted) for one in own),
            run_id=run,
        )

    def ask(self, task: Task) -> None:
        task.active = True
        shares = [
            Share(
                one is task, one.active, one.wanted, one.allotted, one.orphans, None,
                batch_id=one.number,
            )
            for one in self.tasks
            if one.run == task.run and (one.active or one.allotted or one.orphans)
        ]  # fmt: skip
        others = [self.claim(run) for run in range(len(self.caps)) if run != task.run]
        task.share = allot(
            Standing(self.limits(task.run)),
            shares,
            Totals(0, 0, 0),
            wanted=task.wanted,
            in_flight=task.in_flight,
            claims=others,
        ).concurrency
        task.allotted = max(task.share, task.in_flight)

    @property
    def held(self) -> int:
        return sum(one.allotted + one.orphans for one in self.tasks)

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight + one.orphans for one in self.tasks)


def tasks(runs: int, each: int, **fields: int) -> list[Task]:
    return [Task(number // each, number, **fields) for number in range(runs * each)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["want", "ask", "send", "end", "cap", "die", "wake", "orphan_ends"]),
        st.integers(0, 5),
        st.integers(0, 60),
    ),
    max_size=150,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_the_cap_is_never_exceeded(steps: list[tuple[str, int, int]]) -> None:
    world = World([50, 50, 50], [10, 20, 1], tasks(3, 2))
    highest = 50
    for what, number, amount in steps:
        task = world.tasks[number]
        match what:
            case "want":
                task.wanted = max(amount, task.in_flight)
            case "ask":
                world.ask(task)
            case "send" if task.active:
                task.in_flight += max(0, min(amount, task.share - task.in_flight))
            case "end":
                task.in_flight -= min(amount, task.in_flight)
            case "cap":
                world.caps[task.run] = max(1, amount)
                lowest = min(cap for cap in world.caps if cap is not None)
                highest = max(lowest, world.in_flight, world.held)
            case "die":
                task.orphans += task.in_flight
                task.in_flight = task.share = task.allotted = 0
                task.active = False
            case "wake":
                task.active = not task.active
            case "orphan_ends":
                task.orphans -= min(amount, task.orphans)
        assert world.in_flight <= highest


def turn(world: World, times: int = 12) -> list[int]:
    """Let all tasks ask and send `times` times; return each run's calls in flight."""
    for _ in range(times):
        for task in world.tasks:
            world.ask(task)
            task.in_flight = min(task.wanted, task.share)
    return [
        sum(task.in_flight for task in world.tasks if task.run == run)
        for run in range(len(world.caps))
    ]


@settings(deadline=None)
@given(
    cap=st.integers(6, 300),
    priorities=st.lists(st.integers(1, 100), min_size=3, max_size=3),
)
def test_the_whole_cap_is_used_by_priority(cap: int, priorities: list[int]) -> None:
    world = World([cap] * 3, priorities, tasks(3, 4, wanted=1_000))
    parts = turn(world)
    assert sum(parts) == cap
    for part, priority in zip(parts, priorities, strict=True):
        assert part <= max(1, cap * priority / sum(priorities) + 1)
    for task in world.tasks[:4]:
        task.wanted = task.in_flight = 0
    rest = turn(world)
    assert rest[0] == 0
    assert sum(rest) == cap


def test_priorities_and_caps_that_change_take_effect() -> None:
    world = World([60, 60], [10, 10], tasks(2, 3, wanted=1_000))
    assert turn(world) == [30, 30]
    world.priorities[0] = 20
    assert turn(world) == [40, 20]
    world.caps[1] = 30
    assert turn(world) == [20, 10]
