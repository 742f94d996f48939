"""What tasks may do together: cap, total calls, width, and what stops a run."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrofill.engine.causes import CallCount
from retrofill.engine.ramp import Ramp, Tally
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.model.calls import Allotment
from retrofill.model.limits import Limits

NOTHING = Totals(0, 0, 0)


def standing(**fields: Any) -> Standing:
    """Return a `Standing` with these fields of its own and of its limits."""
    own = {name: fields.pop(name) for name in fields.keys() & Standing._fields}
    usual = {"max_concurrency": 10, "max_items_per_set": 1}
    return Standing(Limits(**usual | fields), **own)


def share(batch_id: int = 2, **fields: Any) -> Share:
    usual = Share(False, True, 100, 0, 0, None, batch_id=batch_id)  # noqa: FBT003
    return usual._replace(**fields)


OWN = Share(True, True, 0, 0, 0, None, batch_id=1)  # noqa: FBT003


def asked(*shares: Share, wanted: int = 100, in_flight: int = 0, **fields: Any) -> Allotment:
    return allot(standing(**fields), [OWN, *shares], NOTHING, wanted=wanted, in_flight=in_flight)


def test_alone_a_task_has_all_it_wants_up_to_the_cap() -> None:
    assert asked().concurrency == 10
    assert asked(wanted=3).concurrency == 3
    paused = asked(paused=True)
    assert (paused.concurrency, paused.stop_reason) == (0, None)
    assert (paused.pause_reason or "").startswith("the run is paused")


def test_a_task_grows_only_into_free_capacity() -> None:
    assert asked(share(allotted=10)).concurrency == 0
    assert asked(share(allotted=8)).concurrency == 2
    assert asked(share(allotted=5)).concurrency == 5


def test_unwanted_capacity_can_be_taken() -> None:
    assert asked(share(wanted=2, allotted=2)).concurrency == 8


def test_calls_of_a_silent_holder_count_and_the_rest_is_divided() -> None:
    silent = share(2, active=False, allotted=4)
    assert asked(silent, share(3)).concurrency == 3
    assert asked(silent, share(3, allotted=6)).concurrency == 0


def test_orphans_count_whichever_task_has_their_batch() -> None:
    orphaned = OWN._replace(orphans=7)
    allotment = allot(standing(), [orphaned], NOTHING, wanted=100, in_flight=0)
    assert allotment.concurrency == 3
    assert asked(share(orphans=12)).concurrency == 0


@dataclass
class Task:
    """An invoke task, as the shares see it."""

    number: int
    wanted: int = 0
    share: int = 0
    in_flight: int = 0
    allotted: int = 0
    orphans: int = 0
    calls: int = 0
    refused: int = 0
    unsettled: int = 0
    calls_left: int = 0
    active: bool = False


@dataclass
class World:
    """Tasks that ask in turn, while someone changes the limits."""

    tasks: list[Task]
    cap: int
    max_calls: int
    effective: int = 0
    asked: set[int] = field(default_factory=set)

    def shares(self, own: Task) -> list[Share]:
        return [
            Share(
                one is own, one.active, one.wanted, one.allotted, one.orphans, one.calls_left,
                batch_id=one.number, unsettled=one.unsettled,
            )
            for one in self.tasks
            if one.active or one.allotted or one.orphans
        ]  # fmt: skip

    def ask(self, task: Task) -> None:
        task.active = True
        refused = sum(one.refused for one in self.tasks)
        totals = Totals(sum(one.calls for one in self.tasks) - refused, 0, 0, refused=refused)
        allotment = allot(
            standing(max_concurrency=self.cap, max_calls=self.max_calls),
            self.shares(task),
            totals,
            wanted=task.wanted,
            in_flight=task.in_flight,
        )
        assert allotment.calls is not None
        if allotment.stop_reason:
            active = [one for one in self.tasks if one.active]
            silent = sum(one.calls_left for one in self.tasks if not one.active)
            assert totals.calls + silent == self.max_calls, "the rest may be called"
            assert not sum(one.unsettled for one in active), "it may still be refused"
        task.share, task.calls_left = allotment.concurrency, allotment.calls
        task.allotted = max(task.share, task.in_flight)

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight + one.orphans for one in self.tasks)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["want", "ask", "send", "end", "refuse", "cap", "die", "wake", "orphan_ends", "late"]
        ),
        st.integers(0, 3),
        st.integers(0, 60),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_the_cap_and_the_calls_in_all_are_never_exceeded(
    steps: list[tuple[str, int, int]],
) -> None:
    world = World([Task(number) for number in range(4)], cap=50, max_calls=200)
    highest = 50  # calls sent under a cap may still be in flight after it is lowered
    for what, number, amount in steps:
        task = world.tasks[number]
        match what:
            case "want":
                task.wanted = max(amount, task.in_flight)
            case "ask":
                world.ask(task)
            case "send" if task.active:
                most = max(0, min(amount, task.share - task.in_flight, task.calls_left))
                task.in_flight += most
                task.calls += most
                task.unsettled += most
                task.calls_left -= most
            case "end" | "refuse":
                ended = min(amount, task.in_flight)
                task.in_flight = task.unsettled = task.in_flight - ended
                task.refused += ended * (what == "refuse")
            case "cap":
                world.cap = max(1, amount)
                highest = max(world.cap, world.in_flight, sum(o.allotted for o in world.tasks))
            case "die":  # another holder takes over: calls that were sent become orphans
                task.orphans += task.in_flight
                task.in_flight = task.share = task.allotted = task.calls_left = 0
                task.unsettled = 0
                task.active = False
            case "wake":  # silent, and back before a takeover
                task.active = not task.active
            case "orphan_ends" | "late":  # the old holder reports that it was refused
                ended = min(amount, task.orphans)
                task.orphans -= ended
                task.refused += ended * (what == "late")
        assert world.in_flight <= highest
        assert sum(one.calls - one.refused + one.calls_left for one in world.tasks) <= 200


def test_a_lowered_cap_is_kept_as_soon_as_calls_have_ended() -> None:
    world = World([Task(number, wanted=1_000) for number in range(4)], cap=50, max_calls=10**6)
    for cap in (50, 20, 50):
        world.cap = cap
        for _ in range(8):
            for task in world.tasks:
                world.ask(task)
                task.in_flight = min(task.in_flight, task.share)
                task.in_flight = task.share
        assert world.in_flight == cap
        assert max(one.in_flight for one in world.tasks) <= -(-cap // 4)


def test_a_small_cap_and_a_budget_do_not_wait_for_each_other() -> None:
    """Otherwise one task would hold the last place, and another the last call."""
    world = World([Task(number, wanted=7) for number in range(4)], cap=2, max_calls=11)
    for turn in range(40):
        for task in (*world.tasks[turn % 4 :], *world.tasks[: turn % 4]):
            world.ask(task)
            sent = max(0, min(task.share - task.in_flight, task.calls_left))
            task.calls += sent
            task.calls_left -= sent
            task.in_flight = task.unsettled = 0
    assert sum(task.calls for task in world.tasks) == 11
    with_a_place = allot(
        standing(max_calls=5), [OWN, share(calls_left=1)], Totals(4, 0, 0), wanted=7, in_flight=0
    )
    assert (with_a_place.calls, with_a_place.concurrency) == (0, 0)
    with_a_call = allot(
        standing(max_calls=5), [OWN, share(allotted=10)], Totals(4, 0, 0), wanted=7, in_flight=0
    )
    assert (with_a_call.calls, with_a_call.concurrency) == (0, 0)
    assert with_a_call.stop_reason is None


@pytest.mark.parametrize(
    ("fields", "totals", "says"),
    [
        ({"max_minutes": 5, "is_late": True}, NOTHING, "max_minutes: 5 minutes"),
        ({"max_calls": 7}, Totals(7, 0, 0), "max_calls: 7 of 7 calls were made"),
        (
            {"max_cost": 7.0},
            Totals(70, 0, 0, cost=7.0213),
            "max_cost: $7.021 of $7.00 were spent",
        ),
        (
            {"max_failure_percent": 50, "min_items_judged": 10},
            Totals(0, 10, 6),
            "max_failure_percent: 6 of 10 items failed, more than 50 %",
        ),
        (
            {"max_calls": 7},
            Totals(7, 0, 0, refused=9),
            "max_calls: 7 of 7 calls were made, plus 9 that were refused",
        ),
        ({"max_failure_percent": 0}, Totals(0, 10, 1), "1 of 10 items failed"),
        (
            {"max_failure_percent": 50, "min_items_judged": 1_000},
            Totals(0, 10, 10, failing_as="KeyError"),
            "the first 10 items all failed alike: KeyError",
        ),
    ],
)
def test_a_limit_of_the_whole_run_stops_it(
    fields: dict[str, Any], totals: Totals, says: str
) -> None:
    found = allot(standing(**fields), [OWN], totals, wanted=3, in_flight=0)
    assert says in (found.stop_reason or "")
    done = allot(standing(**fields), [OWN], totals, wanted=3, in_flight=3)
    assert done.stop_reason is None, "nothing is left to be sent"


@pytest.mark.parametrize(
    ("fields", "totals"),
    [
        ({"max_calls": 7}, Totals(6, 0, 0)),
        ({"max_cost": 7.0}, Totals(70, 0, 0, cost=6.99)),
        ({"max_failure_percent": 50, "min_items_judged": 11}, Totals(0, 10, 10)),
        ({"max_failure_percent": 60}, Totals(0, 10, 6)),
        ({"max_failure_percent": 99, "min_items_judged": 11}, Totals(0, 9, 9, failing_as="E")),
        (
            {"max_failure_percent": 99, "min_items_judged": 99},
            Totals(0, 11, 10, succeeded=1, failing_as="E"),
        ),
        ({"max_failure_percent": 99, "min_items_judged": 99}, Totals(0, 90, 90, failing_as="")),
        ({"max_failure_percent": 100}, Totals(0, 90, 90, failing_as="E")),
        ({"max_failure_percent": 100}, Totals(0, 10, 10)),
        ({"max_failure_percent": None}, Totals(0, 10, 10)),
    ],
)
def test_a_run_below_its_limits_continues(fields: dict[str, Any], totals: Totals) -> None:
    assert allot(standing(**fields), [OWN], totals, wanted=3, in_flight=0).stop_reason is None


@pytest.mark.parametrize(("own", "others"), [(1, 0), (0, 1)])
def test_a_run_does_not_stop_for_equal_failures_while_calls_may_succeed(
    own: int, others: int
) -> None:
    failing = Totals(0, 10, 10, failing_as="E")
    shares = [OWN, share(in_flight=others)]
    stands = standing(max_failure_percent=50, min_items_judged=99)
    waits = allot(stands, shares, failing, wanted=5, in_flight=own)
    assert (waits.concurrency, waits.stop_reason) == (0, None)
    assert (waits.pause_reason or "").startswith(
        "the first 10 items all failed alike: E; no call is"
    )
    one_succeeded = failing._replace(judged=11, succeeded=1)
    goes_on = allot(stands, shares, one_succeeded, wanted=5, in_flight=own)
    assert (goes_on.concurrency, goes_on.pause_reason) == (5, None)


def test_the_first_reason_stays() -> None:
    assert asked(stop_reason="by me", is_late=True, max_minutes=1).stop_reason == "by me"


def test_a_task_waits_for_calls_that_another_may_return() -> None:
    made = Totals(4, 0, 0)
    shares = [OWN, share(calls_left=3)]
    waits = allot(standing(max_calls=7), shares, made, wanted=5, in_flight=0)
    assert (waits.calls, waits.stop_reason) == (0, None)
    under_way = [OWN, share(unsettled=1)]
    waits = allot(standing(max_calls=4), under_way, made, wanted=5, in_flight=0)
    assert (waits.calls, waits.stop_reason) == (0, None), "it may be refused"
    own = [OWN._replace(unsettled=1)]
    waits = allot(standing(max_calls=4), own, made, wanted=5, in_flight=1)
    assert (waits.calls, waits.stop_reason) == (0, None)
    silent = [OWN, share(calls_left=3, unsettled=3, active=False)]
    stops = allot(standing(max_calls=7), silent, made, wanted=5, in_flight=0)
    assert stops.stop_reason == "max_calls: 4 of 7 calls were made"


def test_the_rate_is_divided() -> None:
    assert asked(share(allotted=5), max_calls_per_second=10.0).calls_per_second == 5.0
    not_asked_yet = share(wanted=0)
    assert asked(not_asked_yet, max_calls_per_second=10.0).calls_per_second == 5.0
    assert asked(share()).calls_per_second is None


def test_only_tasks_with_a_place_share_the_rate() -> None:
    """Otherwise 2 tasks of 16 would call at an eighth of the rate."""
    waits = share(2)
    assert asked(waits, max_concurrency=1, max_calls_per_second=10.0).calls_per_second == 10.0
    has_all = share(2, allotted=1, calls_per_second=4.0)
    assert asked(has_all, max_concurrency=1, max_calls_per_second=10.0).calls_per_second == 0.0


@pytest.mark.parametrize(("limit", "at_the_foot"), [(0.5, 0.5), (3.0, 2.0), (1_000.0, 10.0)])
def test_a_ramp_leaves_a_low_rate_alone(limit: float, at_the_foot: float) -> None:
    """With a hundredth of a call per second, the ramp would never rise."""
    limits = {"max_concurrency": 200, "ramp_minutes": 1, "max_calls_per_second": limit}
    assert standing(**limits).climbed(Tally()).calls_per_second == at_the_foot


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "end", "limit"]), st.integers(0, 3), st.integers(1, 100)),
        max_size=60,
    )
)
def test_the_parts_of_the_rate_never_add_up_to_more(steps: list[tuple[str, int, int]]) -> None:
    limit, parts = 50.0, dict[int, float]()
    highest = limit  # a task keeps its part until it asks again
    for what, number, amount in steps:
        match what:
            case "ask":
                others = [share(one, calls_per_second=had) for one, had in parts.items()
                          if one != number]  # fmt: skip
                given = asked(*others, max_calls_per_second=limit).calls_per_second
                assert given is not None
                parts[number] = given
            case "end":
                parts.pop(number, None)
            case "limit":
                limit = float(amount)
                highest = max(limit, sum(parts.values()))
        assert sum(parts.values()) <= highest + 1e-9
    for _ in range(3):
        for number in parts:
            others = [share(one, calls_per_second=had) for one, had in parts.items()
                      if one != number]  # fmt: skip
            parts[number] = asked(*others, max_calls_per_second=limit).calls_per_second or 0.0
    assert sum(parts.values()) == pytest.approx(limit if parts else 0.0)


def widths(own: Share, *others: Share, run: int | None, width: int | None) -> Allotment:
    return allot(standing(width=run), [own, *others], NOTHING, wanted=100, in_flight=0, width=width)


def test_the_total_width_changes_by_what_each_task_finds() -> None:
    first = widths(OWN, run=None, width=27)
    assert (first.run_width, first.width) == (27, 27)
    grown = widths(OWN._replace(width=27), run=27, width=29)
    assert (grown.run_width, grown.width) == (29, 29)
    other = share(width=15, in_flight=15)
    cut = widths(OWN._replace(width=14), other, run=29, width=12)
    assert (cut.run_width, cut.width) == (27, 12)


def test_a_new_task_starts_with_unused_width() -> None:
    full = widths(OWN, share(width=30, in_flight=30), run=30, width=None)
    assert (full.run_width, full.width) == (30, 1)
    free = widths(OWN, share(width=15, in_flight=15), run=30, width=None)
    assert (free.run_width, free.width) == (30, 15)


def test_a_task_that_ends_leaves_its_width_to_the_others() -> None:
    alone = widths(OWN._replace(width=15), share(active=False, width=15), run=30, width=15)
    assert (alone.run_width, alone.width) == (30, 30)


def test_a_task_that_needs_less_leaves_the_rest_and_changes_nothing() -> None:
    nearly_done = OWN._replace(width=15)
    shares = [nearly_done, share(width=15, in_flight=15)]
    found = allot(standing(width=30), shares, NOTHING, wanted=4, in_flight=4, width=15)
    assert (found.run_width, found.width) == (30, None)
    needs_4 = share(width=15, wanted=4, in_flight=4)
    rest = widths(OWN._replace(width=15), needs_4, run=30, width=15)
    assert (rest.run_width, rest.width) == (30, 26)


def test_the_parts_add_up_to_the_width() -> None:
    tasks = [share(number, width=7, in_flight=7) for number in (1, 2, 3, 4)]
    parts = [
        widths(
            one._replace(own=True), *(other for other in tasks if other is not one),
            run=30, width=7,
        ).width
        for one in tasks
    ]  # fmt: skip
    assert sorted(part or 0 for part in parts) == [7, 7, 8, 8]


def paid(*shares: Share, cost: float = 0.0, max_cost: float = 12.0) -> Allotment:
    totals = Totals(100, 0, 0, cost=cost)
    return allot(standing(max_cost=max_cost), [OWN, *shares], totals, wanted=100, in_flight=0)


def test_only_money_neither_spent_nor_reserved_is_divided() -> None:
    assert asked().cost is None
    assert paid().cost == 12.0
    assert paid(share(cost_left=4.0), cost=2.0).cost == 3.0
    assert paid(share(2, cost_left=4.0), share(3), cost=2.0).cost == 2.0


def test_money_is_not_divided_below_the_price_of_a_call() -> None:
    last = paid(share(2), share(3), cost=11.95, max_cost=12.0)
    assert last.call_cost == 0.1195
    assert last.cost == pytest.approx(0.05)


def test_a_task_waits_while_another_has_money_left() -> None:
    waits = paid(share(cost_left=1.0), cost=11.0)
    assert (waits.cost, waits.stop_reason) == (0.0, None)
    silent = paid(share(active=False, cost_left=0.0), cost=12.0)
    assert silent.stop_reason == "max_cost: $12.00 of $12.00 were spent"


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20)), max_size=60),
    max_cost=st.floats(1, 100),
)
def test_spent_and_reserved_money_never_exceeds_the_limit(
    steps: list[tuple[int, float]], max_cost: float
) -> None:
    spent, left = [0.0] * 4, [0.0] * 4
    overrun = 0.0
    for number, cost in steps:
        others = [share(at, cost_left=left[at]) for at in range(4) if at != number]
        given_ = paid(*others, cost=sum(spent), max_cost=max_cost).cost
        assert given_ is not None
        left[number] = given_
        assert sum(spent) + sum(left) <= max_cost + overrun + 1e-9
        if given_:
            spent[number] += cost
            overrun += max(0.0, cost - given_)
            left[number] = max(0.0, given_ - cost)


def test_a_cause_above_its_limit_stops_a_run_with_calls_left() -> None:
    ended = [CallCount("succeeded", "", 9, 9), CallCount("unknown", "", 1, 1)]
    strict = standing(max_percent_by_cause={"unknown": 5}, min_items_judged=10)
    found = allot(strict, [OWN], NOTHING, wanted=3, in_flight=0, ended=ended)
    assert (found.stop_reason or "").startswith("max_percent_by_cause: unknown: 1 of 10 items")
    done = allot(strict, [OWN], NOTHING, wanted=3, in_flight=3, ended=ended)
    assert done.stop_reason is None, "nothing is left to be sent"


def test_on_a_ramp_tasks_share_its_width_and_that_part_of_the_rate() -> None:
    steep = standing(max_concurrency=100, max_calls_per_second=500.0, ramp_minutes=10)
    foot = steep.climbed(Tally())
    first = allot(foot, [OWN], NOTHING, wanted=100, in_flight=0)
    assert (first.concurrency, first.calls_per_second) == (2, 10.0)
    assert first.ramp == "ramp: at most 2 of 100 calls in flight"
    other = share(allotted=1, calls_per_second=5.0)
    second = allot(foot, [OWN, other], NOTHING, wanted=100, in_flight=0)
    assert (second.concurrency, second.calls_per_second) == (1, 5.0)
    orphaned = allot(foot, [OWN._replace(orphans=2)], NOTHING, wanted=100, in_flight=0)
    assert orphaned.concurrency == 0, "calls of a killed task count on a ramp, too"


def test_no_ramp_and_a_finished_ramp_change_nothing() -> None:
    tally = Tally(100, 0, {1: 100})
    for stands in (standing(), standing(ramp=Ramp.begun(0.0, 10), ramp_minutes=None)):
        assert stands.climbed(tally) is stands
    up = Ramp(level=10, rose_from=10, since_s=0, looked_s=0, over=True)
    stands = standing(ramp=up, ramp_minutes=5, max_concurrency=10, max_calls_per_second=7.0)
    assert stands.climbed(tally) is stands
    found = allot(stands, [OWN], NOTHING, wanted=100, in_flight=0)
    assert (found.concurrency, found.calls_per_second, found.ramp) == (10, 7.0, None)
