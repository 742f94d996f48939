"""Dispatch: every outcome, the search for poison, and the order of calls."""

from collections import Counter
from itertools import pairwise
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.answers import Answer
from retrofill.engine.dispatch import MAX_REFUSALS, Dispatch
from retrofill.engine.outcomes import Cause, Ending, Outcome
from retrofill.model.calls import Call, Entry, Settlement, Span
from retrofill.model.items import Item

TIMEOUT_S = 30.0
SUCCESS = Ending(Outcome.SUCCEEDED)
ITEM = Item(bytes(16), "key")
FAILURE = Ending(Outcome.FAILED, "Error", "no good")


def entries(count: int) -> list[Entry]:
    return [Entry(seq, ITEM) for seq in range(count)]


def dispatch_of(*calls: Call, max_attempts: int = 3, hold_unknown: bool = False) -> Dispatch:
    dispatch = Dispatch(
        max_attempts=max_attempts,
        function_timeout_s=TIMEOUT_S,
        random=lambda: 0.5,
        hold_unknown=hold_unknown,
    )
    dispatch.add([(call, 0.0) for call in calls], unloaded=0, now=0.0)
    return dispatch


def seqs_of(settlement: Settlement) -> list[int]:
    """Return the numbers of the items that succeeded."""
    spans = [span for span, _ in settlement.succeeded]
    return [seq for span in spans for seq in range(span.first, span.last + 1)]


class Driver:
    """Sends each call that is due, and ends it with the outcome that a test's function returns."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.now = 0.0
        self.number = 0
        self.calls = 0
        self.settled = Settlement()
        self.succeeded: list[int] = []

    def send(self) -> Call:
        while not (calls := self.dispatch.take(1, self.now)):
            due = self.dispatch.next_due_in(self.now)
            assert due is not None, "nothing is ready and nothing is waiting"
            self.now += due
        (call,) = calls
        self.number += 1
        self.calls += 1
        call.number = self.number
        self.dispatch.sent(call, self.now)
        return call

    def end(self, call: Call, ended: Ending, answer: Answer | None = None) -> Settlement:
        if ended is SUCCESS and answer is None:
            answer = Answer()
        self.dispatch.ended(call.number, ended, answer, now=self.now)
        settlement = self.dispatch.take_settlement()
        self.succeeded += seqs_of(settlement)
        self.settled.quarantined += settlement.quarantined
        return settlement

    def run(self, poison: set[int]) -> None:
        while self.dispatch.left:
            call = self.send()
            bad = any(entry.seq in poison for entry in call.entries)
            self.end(call, FAILURE if bad else SUCCESS)


def test_success_settles_every_item() -> None:
    driver = Driver(dispatch_of(Call.of(entries(3))))
    settlement = driver.end(driver.send(), SUCCESS)
    assert settlement.succeeded == [(Span(0, 2), 1)]
    assert settlement.ended[0].outcome == "succeeded"
    assert driver.dispatch.left == 0


def test_items_named_by_the_response_are_retried_and_then_quarantined() -> None:
    driver = Driver(dispatch_of(Call.of(entries(3)), max_attempts=2))
    answer = Answer(failed={1: "listed"})
    first = driver.end(driver.send(), SUCCESS, answer)
    assert seqs_of(first) == [0, 2]
    ((entry, delay_s),) = first.retried
    assert (entry.seq, entry.failures, delay_s > 0) == (1, 1, True)
    again = driver.send()
    assert [entry.seq for entry in again.entries] == [1]
    assert again.attempt == 2
    second = driver.end(again, SUCCESS, Answer(failed={0: "listed"}))
    assert [(bad.entry.seq, bad.error) for bad in second.quarantined] == [(1, "listed")]


def test_a_permanent_failure_is_quarantined_at_once() -> None:
    driver = Driver(dispatch_of(Call.of(entries(1))))
    answer = Answer(failed={0: "gone"}, permanent=frozenset({0}))
    assert len(driver.end(driver.send(), SUCCESS, answer).quarantined) == 1


def test_a_malformed_answer_is_a_failed_call() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    settlement = driver.end(driver.send(), SUCCESS, Answer(malformed="no JSON"))
    assert settlement.ended[0].outcome == "failed"
    assert settlement.ended[0].error == "no JSON"
    assert not settlement.succeeded
    assert [len(driver.send().entries) for _ in range(2)] == [1, 1]


@given(
    size=st.integers(1, 200),
    poison=st.sets(st.integers(0, 199), max_size=5),
    max_attempts=st.integers(1, 4),
)
def test_exactly_the_poison_is_quarantined_within_the_bound(
    size: int, poison: set[int], max_attempts: int
) -> None:
    poison = {seq for seq in poison if seq < size}
    driver = Driver(dispatch_of(Call.of(entries(size)), max_attempts=max_attempts))
    driver.run(poison)
    assert {bad.entry.seq for bad in driver.settled.quarantined} == poison
    assert sorted(driver.succeeded) == sorted(set(range(size)) - poison)
    search = 2 * ceil(log2(size)) if size > 1 else 0
    assert driver.calls - 1 <= len(poison) * (search + max_attempts - 1)
    assert all(bad.entry.failures == max_attempts for bad in driver.settled.quarantined)


def test_a_throttled_call_is_retried_and_blames_no_item() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    call = driver.send()
    settlement = driver.end(call, Ending(Outcome.THROTTLED, retry_after_s=7.0))
    assert not settlement.retried
    assert not settlement.quarantined
    due = driver.dispatch.next_due_in(driver.now)
    assert due is not None
    assert due >= 7.0
    again = driver.send()
    assert again is call
    assert again.attempt == 2
    assert all(entry.attempts == 0 for entry in again.entries)


def test_a_silent_call_waits_for_the_functions_timeout() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    call = driver.send()
    driver.now = 10.0
    settlement = driver.end(call, Ending(Outcome.UNKNOWN, "Call.NoAnswer", "reset"))
    assert {delay_s >= TIMEOUT_S - 10.0 for _, delay_s in settlement.retried} == {True}
    again = driver.send()
    assert driver.now >= TIMEOUT_S
    assert again.duplicates == 2
    assert all((entry.attempts, entry.failures) == (1, 0) for entry in again.entries)


def test_a_silent_call_is_held_if_that_is_asked_for() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2)), hold_unknown=True))
    silent = Ending(Outcome.UNKNOWN, "Call.NoAnswer", "reset")
    settlement = driver.end(driver.send(), silent)
    assert [
        (bad.entry.seq, bad.entry.attempts, bad.entry.failures, bad.entry.unsure, bad.error)
        for bad in settlement.quarantined
    ] == [(0, 1, 0, True, "reset"), (1, 1, 0, True, "reset")]
    assert (driver.dispatch.left, settlement.retried, settlement.blamed) == (0, [], 0)


def test_a_call_that_was_cut_off_may_run_until_the_functions_timeout() -> None:
    driver = Driver(dispatch_of(*(Call.of([entry]) for entry in entries(2))))
    first, second = driver.send(), driver.send()
    assert driver.dispatch.running(driver.now) == 2
    driver.end(first, Ending(Outcome.UNKNOWN, "Call.NoAnswer", "reset"))
    driver.end(second, SUCCESS)
    assert driver.dispatch.running(driver.now) == 1
    assert driver.dispatch.running(TIMEOUT_S - 0.1) == 1
    assert driver.dispatch.running(TIMEOUT_S) == 0


def test_waiting_calls_are_wanted_in_addition_to_abandoned_ones() -> None:
    calls = [Call.of([entry]) for entry in entries(3)]
    driver = Driver(dispatch_of(*calls, hold_unknown=True))
    driver.end(driver.send(), Ending(Outcome.UNKNOWN, "Call.NoAnswer", "reset"))
    driver.send()
    assert (driver.dispatch.left, driver.dispatch.running(driver.now)) == (2, 2)
    assert driver.dispatch.wanted(driver.now) == 3


def test_items_are_counted_when_first_blamed_and_when_recovered() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    assert driver.end(driver.send(), FAILURE).blamed == 0, "an item in a larger call is not blamed"
    blamed = [driver.end(driver.send(), FAILURE).blamed for _ in range(2)]
    assert blamed == [1, 1]
    again = driver.end(driver.send(), FAILURE)
    assert again.blamed == 0
    cured = driver.end(driver.send(), SUCCESS)
    assert (cured.blamed, cured.cured) == (0, 1)


def test_an_item_that_failed_in_an_earlier_run_is_judged_in_this_one() -> None:
    failed, cured, again = (Entry(seq, ITEM, attempts=2, failures=2) for seq in range(3))
    again.blamed = True
    driver = Driver(dispatch_of(*(Call.of([one], 3) for one in (failed, cured, again))))
    settlement = driver.end(driver.send(), FAILURE)
    assert (settlement.blamed, len(settlement.quarantined)) == (1, 1), (
        "permanently, and in this run"
    )
    assert driver.end(driver.send(), SUCCESS).cured == 0, "this run has not blamed it"
    assert driver.end(driver.send(), SUCCESS).cured == 1


def test_the_errors_by_which_items_are_blamed_are_recorded_and_the_hints() -> None:
    driver = Driver(dispatch_of(*(Call.of([one]) for one in entries(2))))
    said = Ending(Outcome.FAILED, "KeyError", "no good (hint: fix it)", hint="fix it")
    settlement = driver.end(driver.send(), said)
    assert (settlement.failing_as, settlement.hints) == ({"KeyError"}, {"fix it"})
    listed = driver.end(driver.send(), SUCCESS, Answer(failed={0: "listed"}))
    assert (listed.failing_as, listed.hints) == ({"listed"}, set())


def test_the_cause_and_the_items_of_a_call_are_recorded() -> None:
    driver = Driver(dispatch_of(*(Call.of([one]) for one in entries(2))))
    failed = Ending(Outcome.FAILED, "Sandbox.Timedout", "…", cause=Cause.TIMED_OUT)
    (record,) = driver.end(driver.send(), failed).ended
    assert (record.outcome, record.cause, record.items) == ("failed", "timed_out", 1)
    (record,) = driver.end(driver.send(), SUCCESS, Answer(malformed="no JSON")).ended
    assert (record.outcome, record.cause) == ("failed", "malformed_answer")


def test_a_call_whose_response_was_lost_is_not_repeated() -> None:
    """The work is done: the call is neither halved nor retried, and its items are held."""
    driver = Driver(dispatch_of(Call.of(entries(3))))
    lost = Ending(Outcome.FAILED, "Function.ResponseSizeTooLarge", "big", cause=Cause.ANSWER_LOST)
    settlement = driver.end(driver.send(), lost)
    held = [(bad.entry.seq, bad.entry.unsure, bad.entry.failures, bad.error)
            for bad in settlement.quarantined]  # fmt: skip
    assert held == [(seq, True, 0, "big") for seq in range(3)]
    assert [bad.entry.attempts for bad in settlement.quarantined] == [1, 1, 1]
    assert (settlement.blamed, settlement.failing_as) == (3, {"Function.ResponseSizeTooLarge"})
    assert (driver.dispatch.left, settlement.retried) == (0, [])


def test_calls_that_stay_silent_are_bisected_and_blamed_at_last() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2)), max_attempts=2))
    while driver.dispatch.left:
        driver.end(driver.send(), Ending(Outcome.UNKNOWN, "Call.NoAnswer", "reset"))
    assert len(driver.settled.quarantined) == 2


def test_a_payload_that_is_too_large_is_halved_and_a_single_one_quarantined() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    refused = Ending(Outcome.TOO_LARGE, "RequestTooLargeException", "too large")
    driver.end(driver.send(), refused)
    assert len(driver.end(driver.send(), refused).quarantined) == 1
    assert driver.dispatch.left == 1


def test_a_misconfiguration_halts_and_touches_no_item() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    settlement = driver.end(driver.send(), Ending(Outcome.MISCONFIGURED, "AccessDenied", "no"))
    assert driver.dispatch.halt_reason == "AccessDenied: no"
    assert not settlement.retried
    assert not settlement.quarantined
    assert driver.dispatch.left == 1


def test_a_function_that_never_starts_halts() -> None:
    driver = Driver(dispatch_of(Call.of(entries(1))))
    for _ in range(MAX_REFUSALS):
        assert driver.dispatch.halt_reason is None
        driver.end(driver.send(), Ending(Outcome.STARTING, "ENILimitReachedException", "wait"))
    assert driver.dispatch.halt_reason is not None


def test_calls_put_back_go_first_in_their_order() -> None:
    calls = [Call.of([entry]) for entry in entries(4)]
    dispatch = dispatch_of(*calls)
    taken = dispatch.take(3, 0.0)
    dispatch.put_back(taken)
    assert dispatch.take(9, 0.0) == calls


@given(st.sets(st.integers(0, 40), min_size=1))
def test_a_calls_items_are_written_as_spans(seqs: set[int]) -> None:
    spans = Call.of([Entry(seq, ITEM) for seq in sorted(seqs)]).spans
    assert [seq for first, last in spans for seq in range(first, last + 1)] == sorted(seqs)
    assert all(left.last + 1 < right.first for left, right in pairwise(spans))


@given(st.lists(st.sampled_from([*Outcome]), max_size=60), st.integers(1, 40))
def test_no_item_is_ever_lost_or_settled_twice(outcomes: list[Outcome], size: int) -> None:
    driver = Driver(dispatch_of(Call.of(entries(size))))
    for outcome in outcomes:
        if not driver.dispatch.left:
            break
        ended = SUCCESS if outcome is Outcome.SUCCEEDED else Ending(outcome, "E", "e")
        driver.end(driver.send(), ended)
    settled = list(driver.succeeded)
    settled += [bad.entry.seq for bad in driver.settled.quarantined]
    while driver.dispatch.left:
        call = driver.send()
        settled += seqs_of(driver.end(call, SUCCESS))
    assert Counter(settled) == Counter(range(size))


def test_items_that_the_function_did_not_reach_are_called_again_without_blame() -> None:
    dispatch = dispatch_of(call := Call.of(entries(4)))
    dispatch.take(1, 0.0)
    call.number = 1
    dispatch.sent(call, 0.0)
    answer = Answer(failed={1: "listed"}, unread=frozenset({2, 3}))
    dispatch.ended(1, SUCCESS, answer, now=0.0)
    settlement = dispatch.take_settlement()
    assert [span for span, _ in settlement.succeeded] == [Span(0, 0)]
    assert {entry.seq: (entry.attempts, entry.failures) for entry, _ in settlement.retried} == {
        1: (1, 1), 2: (1, 0), 3: (1, 0),
    }  # fmt: skip
    (again,) = dispatch.take(9, 0.0)
    assert [entry.seq for entry in again.entries] == [2, 3]
    assert dispatch.left == 1, "the one that failed waits"


def test_unloaded_items_are_left_and_wanted() -> None:
    driver = Driver(dispatch_of(Call.of(entries(2))))
    driver.dispatch.add([], unloaded=3, now=0.0)
    assert (driver.dispatch.left, driver.dispatch.wanted(0.0)) == (4, 4)
    driver.end(driver.send(), SUCCESS)
    assert (driver.dispatch.left, driver.dispatch.next_due_in(0.0)) == (3, 0.0)
    driver.dispatch.add([(Call.of(entries(1)), 0.0)], unloaded=0, now=0.0)
    driver.run(set())
    assert (driver.dispatch.left, driver.dispatch.next_due_in(0.0)) == (0, None)


def test_calls_are_added_when_fewer_are_due_than_there_is_room_for() -> None:
    dispatch = dispatch_of(*(Call.of([entry]) for entry in entries(2)))
    assert not dispatch.is_low(9, 0.0), "all is loaded"
    dispatch.add([], unloaded=1, now=0.0)
    assert [dispatch.is_low(room, 0.0) for room in (0, 2, 3)] == [False, False, True]


def test_no_portion_is_loaded_while_more_calls_wait_than_it_added() -> None:
    """Otherwise a function that throttles every call would make the task load the whole batch."""
    driver = Driver(dispatch_of(*(Call.of([entry]) for entry in entries(2))))
    driver.dispatch.add([(Call.of(entries(1)), 0.0)], unloaded=1, now=0.0)
    for waiting in range(3):
        assert driver.dispatch.is_low(9, 0.0), f"{waiting} wait"
        driver.end(driver.send(), Ending(Outcome.THROTTLED, retry_after_s=7.0))
    assert not driver.dispatch.is_low(9, 0.0)
    due_in = driver.dispatch.next_due_in(0.0)
    assert due_in is not None
    assert due_in >= 7.0
    assert driver.dispatch.is_low(9, due_in)
