"""The gate, in simulated time: no limit is ever exceeded."""

import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from retrofill.engine.gate import ASK_EVERY_S, Gate, ask_every_s
from retrofill.engine.rate import BURST_S
from retrofill.model.calls import Allotment

VALID_S = 50.0


def opened(**fields: Any) -> Gate:
    gate = Gate(now=0.0)
    found = {"concurrency": 100, "calls_per_second": None, "stop_reason": None, **fields}
    gate.grant(Allotment(**found), asked_at=0.0, valid_until=VALID_S)
    return gate


def test_a_gate_is_closed_until_it_has_a_grant() -> None:
    gate = Gate(now=0.0)
    assert gate.must_ask(0.0)
    assert gate.room(0, 0.0) == 0


def test_the_window_limits_calls_if_nothing_else_does() -> None:
    assert opened().room(0, 0.0) == 10


def test_abandoned_calls_take_up_room() -> None:
    assert opened(concurrency=5).room(3, 0.0) == 2


def test_a_share_below_what_is_running_leaves_no_room() -> None:
    assert opened(concurrency=5).room(7, 0.0) == 0


def test_calls_are_counted_down_until_more_are_given() -> None:
    gate = opened(calls=4)
    gate.sent(3)
    assert gate.room(3, 0.0) == 1
    gate.sent(1)
    assert gate.room(4, 0.0) == 0
    gate.grant(Allotment(100, None, None, calls=2), asked_at=1.0, valid_until=VALID_S)
    assert gate.room(4, 1.0) == 2


def test_in_a_shared_limit_a_task_asks_for_what_it_uses() -> None:
    alone, gate = opened(), opened(part="up to 100 of 100")
    assert (alone.wants(500, 3), gate.wants(500, 3)) == (500, 7)
    gate.grant(Allotment(7, None, None, part="p"), asked_at=1.0, valid_until=VALID_S)
    gate.room(5, 1.0)
    assert gate.wants(500, 0) == 500, "5 of 7 were in use since its last question"
    assert gate.wants(500, 3) == 7
    none_yet = opened(concurrency=0, part="p")
    assert none_yet.wants(500, 0) == 500


def ended(gate: Gate, cost: float) -> None:
    gate.ended(throttled=False, sent_at=0.0, now=0.0, cost=cost)


def test_money_is_counted_down_by_calls_that_end() -> None:
    gate = opened(cost=5.0)
    assert gate.room(0, 0.0) == 10, "the cost of a call is not known yet"
    gate.sent(10)
    ended(gate, 1.0)
    assert gate.room(9, 0.0) == 0, "calls in flight are expected to cost the same"
    for cost in (0.5, 0.0, 0.5):
        ended(gate, cost)
    assert gate.room(0, 0.0) == 4, "3.0 are left, and a call costs two thirds"
    ended(gate, 2.5)
    assert (gate.room(1, 0.0), gate.room(0, 0.0)) == (0, 1), (
        "one call, as long as any money is left"
    )
    ended(gate, 0.5)
    assert gate.room(0, 0.0) == 0
    gate.grant(Allotment(100, None, None, cost=1.0), asked_at=1.0, valid_until=VALID_S)
    assert gate.room(0, 1.0) == 1


def test_costs_of_other_tasks_calls_are_known_before_its_own_first_call() -> None:
    assert opened(cost=5.0, call_cost=2.0).room(0, 0.0) == 2
    assert opened(cost=0.0, call_cost=2.0).room(0, 0.0) == 0


def test_a_task_that_could_not_renew_its_lease_sends_nothing() -> None:
    gate = opened()
    assert gate.room(0, VALID_S)
    assert gate.room(0, VALID_S + 0.1) == 0


def test_a_stop_is_passed_on() -> None:
    assert opened(stop_reason="enough").allotment.stop_reason == "enough"


def test_it_waits_for_the_rate_but_no_longer_than_until_the_next_question() -> None:
    gate = opened(calls_per_second=4)
    gate.sent(1)
    assert gate.wait_s(0, 0.0, 0.0) == pytest.approx(0.25)
    assert gate.wait_s(0, 0.5, 0.0) == 0.5
    assert gate.wait_s(0, 9.0, 0.0) == ASK_EVERY_S
    assert gate.wait_s(100, 0.0, 0.0) == ASK_EVERY_S
    assert gate.wait_s(0, None, 0.75) == ASK_EVERY_S - 0.75


def test_many_tasks_ask_less_often_and_look_equally_often() -> None:
    assert [ask_every_s(tasks) for tasks in (1, 10, 40, 1_000)] == [1.0, 1.0, 2.0, 10.0]
    gate = opened(tasks=90)
    assert gate.wait_s(0, None, 0.0) == ASK_EVERY_S
    assert gate.must_look(1.0)
    assert not gate.must_ask(2.9)
    gate.looked(1.0)
    assert (gate.must_look(1.9), gate.wait_s(0, None, 1.9)) == (False, pytest.approx(0.1))
    assert gate.must_ask(3.0)
    gate.looked(3.0)
    gate.ask_soon()
    assert gate.wait_s(0, None, 3.0) == 0


def test_few_tasks_ask_whenever_they_look() -> None:
    gate = opened(tasks=10)
    assert (gate.must_look(0.9), gate.must_ask(0.9)) == (False, False)
    assert gate.must_ask(1.0)


class AnyOrder(RuleBasedStateMachine):
    """A task that sends as much as it may, with grants, responses and pauses in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.gate = Gate(now=0.0)
        self.allotment = Allotment(0, None, None)
        self.valid_until = 0.0
        self.sent_at: list[float] = []
        self.cut_off = 0
        self.calls_left = 0.0
        self.tokens = 1.0

    @property
    def running(self) -> int:
        return len(self.sent_at) + self.cut_off

    @rule(
        concurrency=st.integers(0, 40),
        calls=st.none() | st.integers(0, 30),
        calls_per_second=st.none() | st.floats(0, 500),
        width=st.none() | st.integers(1, 30),
        tasks=st.integers(1, 50),
        valid_s=st.floats(0, 3),
    )
    def grant(self, *, valid_s: float, width: int | None, **fields: Any) -> None:
        self.allotment = Allotment(stop_reason=None, width=width, **fields)
        self.valid_until = self.now + valid_s
        calls = self.allotment.calls
        self.calls_left = math.inf if calls is None else calls
        self.gate.grant(self.allotment, asked_at=self.now, valid_until=self.valid_until)

    @rule(passed_s=st.floats(0, 2))
    def pause(self, passed_s: float) -> None:
        self.now += passed_s
        rate = self.allotment.calls_per_second
        if rate is not None:
            self.tokens = min(max(1.0, rate * BURST_S), self.tokens + rate * passed_s)

    @rule(part=st.floats(0, 1))
    def send(self, part: float) -> None:
        room = self.gate.room(self.running, self.now)
        assert room >= 0
        calls = math.ceil(room * part)
        self.gate.sent(calls)
        self.sent_at += [self.now] * calls
        self.calls_left -= calls
        rate = self.allotment.calls_per_second
        if calls:
            assert self.running <= self.allotment.concurrency
            assert self.now <= self.valid_until
            assert self.calls_left >= 0
            assert self.gate.width is None or len(self.sent_at) <= self.gate.width
            assert rate is None or calls <= self.tokens + 1e-6
        self.tokens = max(0.0, self.tokens - calls)

    @rule(calls=st.integers(1, 10))
    def answers(self, calls: int) -> None:
        for at in self.sent_at[:calls]:
            self.gate.ended(throttled=False, sent_at=at, now=self.now)
        del self.sent_at[:calls]

    @rule(calls=st.integers(1, 10))
    def refusals(self, calls: int) -> None:
        for at in self.sent_at[:calls]:
            self.gate.ended(throttled=True, sent_at=at, now=self.now)
            assert self.gate.width is not None
        del self.sent_at[:calls]

    @rule()
    def cut_a_call_off(self) -> None:
        if self.sent_at:
            self.gate.ended(throttled=False, sent_at=self.sent_at.pop(), now=self.now)
            self.cut_off += 1

    @rule()
    def cut_off_calls_end(self) -> None:
        self.cut_off = 0

    @invariant()
    def it_never_waits_beyond_the_next_question(self) -> None:
        wait_s = self.gate.wait_s(self.running, 0.0, self.now)
        assert 0 <= wait_s <= ASK_EVERY_S + 1e-9
        if self.gate.room(self.running, self.now):
            assert wait_s == 0
        elif wait_s == 0:
            assert self.gate.must_ask(self.now) or self.gate.must_look(self.now)


TestAnyOrder = AnyOrder.TestCase
