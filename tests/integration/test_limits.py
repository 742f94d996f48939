"""The limits of a run over all its tasks, on a real Postgres."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.engine.outcomes import NO_ANSWER
from retrofill.engine.ramp import Tally
from retrofill.faults import Point, injected
from retrofill.model.calls import Call, EndedCall, Refused, Settlement
from retrofill.model.errors import LeaseLost, StateError, StateUnavailable
from retrofill.model.limits import Limits
from retrofill.model.runs import SetRef
from retrofill.state import batches, limits, pages, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.integration.opened import change_limits, close, enqueue, item, open_run
from tests.integration.test_batches import calls_of, plan, success, taken


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def execute(conn: connection, statement: str) -> list[tuple[object, ...]]:
    with conn, conn.cursor() as cur:
        cur.execute(statement)
        return cur.fetchall() if cur.description else []


def four_batches(conn: connection, **opening: Any) -> None:
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [item(f"{number:02}") for number in range(40)])
    assert plan(conn, ref) == [10, 10, 10, 10]


@pytest.fixture
def leases() -> Iterator[list[BatchLease]]:
    held: list[BatchLease] = []
    yield held
    for lease in held:
        lease.close()


def take(leases: list[BatchLease], dsn: str, *numbers: int) -> None:
    leases += [taken(dsn, f"holder {number}", number) for number in numbers]


def cut_off(*calls: Call) -> Settlement:
    """Settle calls whose connections broke: they may run until the function's timeout."""
    return Settlement(
        ended=[EndedCall(call.number, "unknown", error_type=NO_ANSWER, items=1) for call in calls]
    )


def fall_silent(conn: connection, batch_id: int) -> None:
    ended = "UPDATE retrofill.batch SET leased_until = now() - interval '1 s' WHERE batch_id = "
    execute(conn, f"{ended}{batch_id}")


def test_calls_of_a_silent_holder_count_until_their_timeout(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    take(leases, state_dsn, 1, 2)
    silent, other = leases
    assert silent.allot(10, 0).concurrency == 10
    calls = calls_of(silent)[:7]
    silent.settle(Settlement(), calls)
    settlement = cut_off(calls[0])
    settlement.ended += success(calls[1]).ended
    silent.settle(settlement, [])
    execute(
        conn,
        "UPDATE retrofill.invocation SET sent_at = sent_at - interval '15 min' WHERE call_no = 3",
    )
    fall_silent(conn, 1)
    assert other.allot(10, 0).concurrency == 0, "not counted yet: it keeps its share"
    assert other.allot(10, 0).concurrency == 5, "one had ended, and one is over its time"
    execute(
        conn,
        "UPDATE retrofill.batch SET may_run_until[1] = now(), may_run_until[2] = now()"
        " WHERE batch_id = 1",
    )
    assert other.allot(10, 0).concurrency == 7
    take(leases, state_dsn, 1)
    assert other.allot(10, 0).concurrency == 5, (
        "a new holder has marked them as lost, and they count as before"
    )


def test_a_holder_that_returns_is_counted_again(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    take(leases, state_dsn, 1, 2)
    silent, other = leases
    silent.allot(4, 0)
    first, second, *_ = calls_of(silent)
    silent.settle(Settlement(), [first])
    fall_silent(conn, 1)
    assert [other.allot(10, 0).concurrency for _ in range(2)] == [6, 9]
    other.allot(0, 0)
    assert silent.allot(4, 1).concurrency == 4
    silent.settle(success(first), [second])
    assert other.allot(10, 0).concurrency == 6
    fall_silent(conn, 1)
    assert [other.allot(10, 0).concurrency for _ in range(2)] == [6, 9]


def test_a_holder_that_is_recording_calls_is_not_silent(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    """It passed the fence while its lease was valid, and commits when the lease seems expired."""
    four_batches(conn, max_concurrency=10)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    take(leases, state_dsn, 1, 2)
    leases[0].allot(10, 0)
    leases[0].settle(Settlement(), calls_of(leases[0])[:6])
    fall_silent(conn, 1)
    with closing(connect(state_dsn)) as writing, writing.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET calls = calls WHERE batch_id = 1")
        assert [leases[1].allot(10, 0).concurrency for _ in range(3)] == [0, 0, 0]
        writing.rollback()
    assert [leases[1].allot(10, 0).concurrency for _ in range(2)] == [0, 4]


def test_calls_of_a_replaced_holder_count_until_their_timeout(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    take(leases, state_dsn, 1, 2)
    zombie, other = leases
    zombie.allot(10, 0)
    calls = calls_of(zombie)[:6]
    zombie.settle(Settlement(), calls)
    take(leases, state_dsn, 1)
    heir = leases[2]
    assert other.allot(10, 0).concurrency == 4
    assert heir.allot(10, 0).concurrency == 0, "they count for the new holder, too"
    with pytest.raises(LeaseLost):
        zombie.settle(success(*calls[:5]), [])
    assert heir.allot(10, 0).concurrency == 5, "five of them were seen to end"
    execute(conn, "UPDATE retrofill.batch SET orphans_until = now() WHERE batch_id = 1")
    assert other.allot(10, 2).concurrency == 5


def test_calls_without_a_known_end_of_a_replaced_holder_count(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    take(leases, state_dsn, 1)
    zombie = leases[0]
    zombie.allot(10, 0)
    calls = calls_of(zombie)[:6]
    zombie.settle(Settlement(), calls)
    take(leases, state_dsn, 1)
    settlement = cut_off(*calls[:4])
    settlement.ended += success(*calls[4:5]).ended
    with pytest.raises(LeaseLost):
        zombie.settle(settlement, [])
    assert leases[1].allot(10, 0).concurrency == 5, "of six calls one was seen to end"


@pytest.mark.parametrize("way", ["done", "stopped", "died", "closed"])
def test_an_abandoned_call_counts_after_its_task_is_gone(
    state_dsn: str, conn: connection, leases: list[BatchLease], way: str
) -> None:
    four_batches(conn, max_concurrency=10)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    take(leases, state_dsn, 1, 2)
    gone, other = leases
    calls = calls_of(gone)[:6]
    gone.settle(Settlement(), calls)
    settlement = cut_off(*calls[:4])
    settlement.ended += success(*calls[4:]).ended
    gone.settle(settlement, [])
    match way:
        case "done" | "stopped":
            gone.release(done=way == "done")
        case "died":
            take(leases, state_dsn, 1)
        case "closed":
            batches.release_set(conn, SetRef(1, 1))
            take(leases, state_dsn, 2)
            other = leases[2]
    assert other.allot(10, 0).concurrency == 6
    execute(conn, "UPDATE retrofill.batch SET orphans_until = now() WHERE batch_id = 1")
    assert other.allot(10, 0).concurrency == 10


def test_an_expired_lease_settles_and_sends_nothing(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    take(leases, state_dsn, 1, 2)
    silent, other = leases
    assert silent.allot(10, 0).concurrency == 10
    first, *more = calls_of(silent)
    silent.settle(Settlement(), [first])
    execute(
        conn, "UPDATE retrofill.batch SET leased_until = now() - interval '4 s' WHERE batch_id = 1"
    )
    assert other.allot(10, 0).concurrency == 10, "another task has its share now"
    calls = more[:3]
    assert silent.settle(success(first), calls) == more[:3]
    assert calls == []
    assert execute(conn, "SELECT count(*), sum(calls) FROM retrofill.v_outcome") == [(1, 1)]
    assert execute(conn, "SELECT sum(calls) FROM retrofill.batch") == [(1,)]
    assert silent.allot(10, 0).concurrency == 0
    other.release(done=False)
    assert silent.allot(10, 0).concurrency == 10
    assert silent.settle(Settlement(), more[:3]) == []
    assert [call.number for call in more[:3]] == [2, 3, 4]


def test_withheld_calls_survive_a_lost_response_of_postgres(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn)
    take(leases, state_dsn, 1)
    first, *more = calls_of(leases[0])
    leases[0].settle(Settlement(), [first])
    execute(conn, "UPDATE retrofill.batch SET leased_until = now() WHERE batch_id = 1")
    broken = []

    def break_once(point: Point) -> None:
        if point is Point.SETTLE_COMMITTED and not broken:
            broken.append(point)
            raise StateUnavailable("the answer is lost")

    with injected(break_once):
        assert leases[0].settle(success(first), more[:]) == more
    assert broken
    assert execute(conn, "SELECT sum(calls), sum(succeeded) FROM retrofill.batch") == [(1, 1)]


def test_max_calls_is_reserved_before_it_is_used(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=7)
    take(leases, state_dsn, 1)
    assert leases[0].allot(10, 0).calls == 7
    take(leases, state_dsn, 2)
    waits = leases[1].allot(10, 0)
    assert (waits.calls, waits.stop_reason) == (0, None), "the first may give some back"
    assert leases[0].allot(10, 0).calls == 4, "half, now that there is another task"
    made, reason = [0, 0], None
    while not reason:
        for at, lease in enumerate(leases):
            allotment = lease.allot(10, 0)
            reason = allotment.stop_reason
            assert allotment.calls is not None
            calls = calls_of(lease)[made[at] : made[at] + allotment.calls]
            lease.settle(Settlement(), calls)
            lease.settle(Settlement(ended=ended(calls, *["failed"] * len(calls))), [])
            made[at] += len(calls)
    assert sum(made) == 7
    assert reason == "max_calls: 7 of 7 calls were made"
    assert execute(conn, "SELECT stop_reason, sum(calls) FROM retrofill.v_run GROUP BY 1") == [
        (reason, 7)
    ]


def test_reserved_calls_of_a_dead_task_pass_to_its_next_holder(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=8)
    take(leases, state_dsn, 1)
    leases[0].allot(8, 0)
    leases[0].settle(Settlement(), calls_of(leases[0])[:3])
    take(leases, state_dsn, 1, 2)
    assert leases[2].allot(10, 0).calls == 3
    assert leases[1].allot(10, 0).calls == 1
    assert execute(conn, "SELECT sum(calls) FROM retrofill.batch") == [(3,)]


def test_a_task_sees_changes_by_others_without_a_lock(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10, max_minutes=60)
    take(leases, state_dsn, 1, 2)
    one, other = leases
    assert one.is_changed(), "it has never asked"
    one.allot(10, 0)
    other.allot(10, 0)
    with closing(connect(state_dsn)) as asking, asking.cursor() as cur:
        cur.execute("SELECT FROM retrofill.run FOR UPDATE")
        assert not one.is_changed(), "shares of others are not a change"
    change_limits(conn, 1, paused=True)
    assert one.is_changed()
    assert one.allot(10, 0).pause_reason
    assert not one.is_changed()
    execute(conn, "UPDATE retrofill.run SET opened_at = opened_at - interval '1 hour'")
    assert one.is_changed(), "its minutes have passed"
    change_limits(conn, 1, paused=False)
    assert "max_minutes" in str(one.allot(10, 0).stop_reason)
    assert other.is_changed(), "it is stopped"


def test_a_run_that_fails_too_much_is_stopped(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_failure_percent=50, min_items_judged=4)
    take(leases, state_dsn, 1, 2)
    for lease, blamed in zip(leases, (3, 0), strict=True):
        call = calls_of(lease)[0]
        lease.settle(Settlement(), [call])
        settlement = success(call)
        settlement.blamed = blamed
        lease.settle(settlement, [])
    assert leases[0].allot(9, 0).stop_reason == (
        "max_failure_percent: 3 of 5 items failed, more than 50 %"
    )


def ended(calls: list[Call], *outcomes: str) -> list[EndedCall]:
    """Return the ends of single-item calls, one outcome per call."""
    return [
        EndedCall(call.number, outcome.split("/")[0], cause=outcome.partition("/")[2], items=1)
        for call, outcome in zip(calls, outcomes, strict=True)
    ]


def test_refused_calls_are_given_back(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=7)
    take(leases, state_dsn, 1)
    assert leases[0].allot(10, 0).calls == 7
    take(leases, state_dsn, 2)
    first, second = leases
    calls = calls_of(first)[:7]
    first.settle(Settlement(), calls)
    waits = second.allot(10, 0)
    assert (waits.calls, waits.stop_reason) == (0, None), "calls in flight may be refused"
    ends = ended(calls[:5], "throttled", "starting", "too_large", "misconfigured", "unknown")
    first.settle(Settlement(ended=ends), [])
    assert second.allot(10, 0).calls == 2, "half of four"
    assert first.allot(10, 0).calls == 1
    report = runs.get_report(conn, 1)
    assert (report.calls, report.refused) == (7, 4)
    assert "calls       7, of these 0 retries, 4 refused" in report.as_text({})
    more = calls_of(second)[:2]
    second.settle(Settlement(), more)
    first.settle(Settlement(ended=ended(calls[5:], "succeeded", "succeeded")), [])
    second.settle(Settlement(ended=ended(more, "succeeded", "failed")), [])
    first.release(done=False)
    assert second.allot(10, 0).calls == 2
    more = calls_of(second)[2:4]
    second.settle(Settlement(), more)
    assert second.allot(10, 2).stop_reason is None
    second.settle(Settlement(ended=ended(more, "failed", "succeeded")), [])
    reason = "max_calls: 7 of 7 calls were made, plus 4 that were refused"
    assert second.allot(10, 0).stop_reason == reason


def test_a_replaced_holder_gives_refused_calls_back(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=5)
    take(leases, state_dsn, 1)
    zombie = leases[0]
    zombie.allot(5, 0)
    calls = calls_of(zombie)[:5]
    zombie.settle(Settlement(), calls)
    take(leases, state_dsn, 1)
    settlement = Settlement(ended=ended(calls[:3], "throttled", "succeeded", "throttled"))
    for _ in range(2):
        with pytest.raises(LeaseLost):
            zombie.settle(settlement, [])
    assert runs.get_report(conn, 1).refused == 2, "reported twice, counted once"
    assert leases[1].allot(9, 0).calls == 2
    leases[1].settle(Settlement(), calls_of(leases[1])[:2])
    take(leases, state_dsn, 1)
    stopped = leases[2].allot(9, 0).stop_reason
    assert stopped == "max_calls: 5 of 5 calls were made, plus 2 that were refused"


def test_calls_are_given_back_once_if_the_response_of_settling_is_lost(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_calls=5)
    take(leases, state_dsn, 1)
    leases[0].allot(5, 0)
    calls = calls_of(leases[0])[:5]
    leases[0].settle(Settlement(), calls)
    broken = []

    def break_once(point: Point) -> None:
        if point is Point.SETTLE_COMMITTED and not broken:
            broken.append(point)
            raise StateUnavailable("the answer is lost")

    with injected(break_once):
        leases[0].settle(Settlement(ended=ended(calls[:2], "throttled", "throttled")), [])
    assert broken
    assert leases[0].allot(10, 3).calls == 2


def test_a_failure_of_an_earlier_run_is_judged_once_in_this_one(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    """Otherwise a run that takes over only bad items would never be stopped."""
    four_batches(conn)
    take(leases, state_dsn, 1)

    def fail(lease: BatchLease, blamed: int) -> None:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        entries = [call.entries[0] for call in calls]
        for entry in entries:
            entry.failures += 1
            entry.blamed = True
        ends = ended(calls, *["failed/handled"] * len(calls))
        settlement = Settlement(ends, retried=[(one, 0.0) for one in entries], blamed=blamed)
        lease.settle(settlement, [])

    fail(leases[0], 10)
    take(leases, state_dsn, 1)
    assert [call.entries[0].blamed for call in calls_of(leases[1])] == [True] * 10, "by this run"
    batches.release_set(conn, SetRef(1, 1))
    close(conn, 1, complete=False)
    later = open_run(conn, "r2", max_failure_percent=20, min_items_judged=10)
    enqueue(conn, later, [])
    plan(conn, later)
    take(leases, state_dsn, 5)
    entries = [call.entries[0] for call in calls_of(leases[2])]
    assert {(entry.failures, entry.blamed) for entry in entries} == {(1, False)}
    fail(leases[2], 10)
    assert leases[2].allot(9, 0).stop_reason == (
        "max_failure_percent: 10 of 10 items failed, more than 20 %"
    )


def test_a_cause_above_its_limit_over_all_tasks_stops_the_run(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_percent_by_cause={"timed_out": 20}, min_items_judged=9)
    take(leases, state_dsn, 1, 2)
    for lease, last in zip(leases, ("failed/timed_out", "throttled"), strict=True):
        calls = calls_of(lease)[:5]
        lease.settle(Settlement(), calls)
        lease.settle(Settlement(ended=ended(calls, *["succeeded"] * 4, last)), [])
    assert leases[1].allot(9, 0).stop_reason is None
    calls = calls_of(leases[1])[5:6]
    leases[1].settle(Settlement(), calls)
    leases[1].settle(Settlement(ended=ended(calls, "failed/timed_out")), [])
    assert leases[0].allot(9, 0).stop_reason is None, "two of ten are not more than a fifth"
    calls = calls_of(leases[0])[5:6]
    leases[0].settle(Settlement(), calls)
    leases[0].settle(Settlement(ended=ended(calls, "failed/timed_out")), [])
    assert leases[1].allot(9, 0).stop_reason == (
        "max_percent_by_cause: timed_out: 3 of 11 items in calls that ended, 27.3 %, more than 20 %"
    )


def told_of(calls: int, took_s: float) -> Tally:
    tally = Tally()
    for _ in range(calls):
        tally.ended("succeeded", took_s)
    return tally


def test_a_ramp_rises_by_the_calls_of_all_tasks(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, ramp_minutes=10)
    change_limits(conn, 1, max_calls_per_second=100)
    take(leases, state_dsn, 1, 2)
    first, second = leases

    def pass_time(minutes: float) -> None:
        with conn, conn.cursor() as cur:
            ago = timedelta(minutes=minutes)
            cur.execute("UPDATE retrofill.run SET opened_at = opened_at - %s", (ago,))

    foot = first.allot(99, 0)
    assert (foot.concurrency, foot.calls_per_second) == (2, 1.0), "the other has not asked yet"
    assert foot.ramp == "ramp: at most 2 of 100 calls in flight"
    assert pages.get_page(conn, 1).controls.ramp is not None
    for _ in range(4):
        pass_time(0.6)
        first.allot(99, 1, ended=told_of(10, 0.1))
        assert second.allot(99, 1, ended=told_of(10, 0.1)).ramp is not None
    level = execute(conn, "SELECT (ramp->>'level')::float FROM retrofill.run")
    pass_time(0.6)
    slow = first.allot(99, 1, ended=told_of(30, 0.9))
    assert "held back because p95 rose from 97 to 869 ms" in (slow.ramp or "")
    ramp = pages.get_page(conn, 1).controls.ramp
    assert ramp is not None
    assert ramp.line(100) == slow.ramp
    first.settle(Settlement(), calls_of(first)[:1])
    take(leases, state_dsn, 1)
    assert leases[2].allot(99, 0).ramp == slow.ramp, "the next holder continues from there"
    assert execute(conn, "SELECT (ramp->>'level')::float FROM retrofill.run") == level
    pass_time(0.6)
    fallen = second.allot(99, 1, ended=told_of(30, 0.9))
    assert fallen.ramp != slow.ramp
    change_limits(conn, 1, paused=True)
    assert second.allot(99, 1).concurrency == 0


def test_a_ramp_does_not_rise_while_its_run_awaits_approval(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=200, ramp_minutes=20)
    take(leases, state_dsn, 1)
    # Like a canary, which is called before the plan is shown.
    leases[0].allot(99, 0)
    leases[0].allot(99, 0, ended=told_of(30, 0.1))
    execute(
        conn,
        "UPDATE retrofill.run SET opened_at = opened_at - interval '1 day',"
        " waited = interval '1 day'",
    )
    assert leases[0].allot(99, 0, ended=told_of(30, 0.1)).concurrency == 2
    assert execute(conn, "SELECT (ramp->>'level')::float FROM retrofill.run") == [(2.0,)]


def test_a_run_without_a_ramp_stores_none(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn)
    take(leases, state_dsn, 1)
    assert leases[0].allot(99, 0, ended=told_of(100, 1.0)).ramp is None
    assert execute(conn, "SELECT ramp FROM retrofill.run") == [(None,)]
    assert pages.get_page(conn, 1).controls.ramp is None


def test_a_run_over_its_time_limit_is_stopped(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_minutes=5)
    take(leases, state_dsn, 1)
    assert leases[0].allot(9, 0).stop_reason is None
    execute(conn, "UPDATE retrofill.run SET opened_at = now() - interval '5 min'")
    assert "max_minutes: 5 minutes have passed" in (leases[0].allot(9, 0).stop_reason or "")


def test_the_reserve_holds_for_any_max_concurrency(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=50, concurrency_ceiling=7)
    take(leases, state_dsn, 1)
    assert leases[0].allot(99, 0).concurrency == 7
    change_limits(conn, 1, max_concurrency=5000)
    assert leases[0].allot(99, 0).concurrency == 7
    change_limits(conn, 1, max_concurrency=3)
    assert leases[0].allot(99, 0).concurrency == 3


def test_the_rate_of_all_tasks_holds_when_another_joins(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=50)
    change_limits(conn, 1, max_calls_per_second=10)
    take(leases, state_dsn, 1, 2)
    first, second = leases
    take(leases, state_dsn, 3)
    leases[2].release(done=True)
    assert first.allot(9, 0).calls_per_second == 5, "the second is active, and has not asked yet"
    assert second.allot(9, 0).calls_per_second == 5
    take(leases, state_dsn, 3)
    assert leases[3].allot(9, 0).calls_per_second == 0, "the two still have all of it"
    assert [round(one.allot(9, 0).calls_per_second or 0, 1) for one in leases[:2]] == [3.3, 3.3]
    assert round(leases[3].allot(9, 0).calls_per_second or 0, 1) == 3.3
    first.release(done=True)
    assert second.allot(9, 0).calls_per_second == 5


def test_the_found_width_is_divided(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100)
    take(leases, state_dsn, 1, 2)
    assert leases[0].allot(99, 30, 30).width == 30
    assert leases[1].allot(99, 0).width == 1, "the first still fills it"
    assert leases[0].allot(99, 30, 30).width == 15
    assert leases[0].allot(99, 15, 15).width == 15
    assert leases[1].allot(99, 1, 1).width == 15
    leases[0].release(done=True)
    assert leases[1].allot(99, 15, 15).width == 30
    assert leases[1].allot(4, 4, 30).width is None, "it needs less"
    assert leases[1].allot(4, 4, 30).run_width == 30


@pytest.mark.parametrize(
    "changes",
    [
        {"max_concurency": 5},
        {"max_concurrency": 0},
        {"max_concurrency": None},
        {"max_concurrency": "5"},
        {"max_concurrency": 1.5},
        {"max_items_per_set": 0},
        {"max_calls_per_second": 0},
        {"max_calls": -1},
        {"max_minutes": -1},
        {"max_failure_percent": 101},
        {"max_percent_by_cause": None},
        {"max_percent_by_cause": {"timed_out": 101}},
        {"max_percent_by_cause": {"timed_out": "5"}},
        {"ramp_minutes": 0},
        {"min_items_judged": None},
        {"concurrency_ceiling": 0},
        {"paused": None},
        {"paused": 1},
    ],
    ids=str,
)
def test_an_impossible_limit_is_refused_everywhere(
    conn: connection, changes: dict[str, Any]
) -> None:
    ref = open_run(conn)
    with pytest.raises(StateError, match="Postgres refused"):
        limits.change_limits(conn, ref.run_id, **changes)
    stored = execute(conn, "SELECT limits FROM retrofill.run")[0][0]
    assert stored == Limits(max_concurrency=10, max_items_per_set=1_000_000).as_json()


def test_a_closed_run_is_neither_changed_nor_stopped(conn: connection) -> None:
    ref = open_run(conn)
    close(conn, ref.run_id, complete=False)
    assert not limits.change_limits(conn, ref.run_id, max_concurrency=5)
    assert not limits.stop(conn, ref.run_id, "enough")
    assert runs.get_report(conn, ref.run_id).stop_reason is None


def test_a_run_whose_calls_are_all_refused_shows_why_and_stops(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn)
    take(leases, state_dsn, 1, 2)
    refused = Refused(60, "E: why", patience_s=50)
    controls = pages.get_page(conn, 1).controls
    assert (controls.refused_since, controls.refusal) == (None, None)

    leases[1].allot(10, 0, answered=True)
    assert leases[0].allot(10, 0, refused=refused).stop_reason is None, "the other gets through"
    assert pages.get_page(conn, 1).controls.refused_since is None

    execute(conn, "UPDATE retrofill.batch SET answered_at = answered_at - interval '70 s'")
    controls = pages.get_page(conn, 1).controls
    assert controls.refusal == "E: why"
    assert controls.refused_since is not None
    ago = datetime.now(UTC) - controls.refused_since
    assert timedelta(seconds=60) <= ago < timedelta(seconds=180)
    reason = leases[0].allot(10, 0, refused=refused).stop_reason
    assert reason == "every call was refused for 1 minutes: E: why"
    assert leases[1].allot(10, 0).stop_reason == reason
