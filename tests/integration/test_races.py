"""Two sessions at once, in every order that matters: one is held at a fault point.

Each race ends with a check of the invariants. Postgres itself shows that the second session waits
where it must; no test guesses it from the time.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.faults import Point, injected
from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement
from retrofill.model.errors import LeaseLost, RunIncomplete
from retrofill.model.runs import SetRef
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.rescue import rescue
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.statements import load

from tests.integration.opened import (
    ALL_LIVE,
    StillAirflow,
    enqueue,
    item,
    keys_in,
    left_of,
    open_run,
)
from tests.integration.test_batches import calls_of, dead, invocations, open_batch, plan, success
from tests.invariants import check

WITHIN_S = 60.0

statements = load("locks.sql") | load("lease.sql") | load("lost_calls.sql")


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


class Session:
    """Work in its own thread, which may be held at a point."""

    def __init__(self, work: Callable[[], Any], hold_at: Point | None = None) -> None:
        self.reached = threading.Event()
        self.result: Any = None
        self._go_on = threading.Event()
        self._hold_at = hold_at
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Session":
        self._thread.start()
        if self._hold_at is not None:
            assert self.reached.wait(WITHIN_S), f"{self._hold_at} is not reached"
        return self

    def at(self, point: Point) -> None:
        if threading.current_thread() is self._thread and point is self._hold_at:
            self._hold_at = None
            self.reached.set()
            assert self._go_on.wait(WITHIN_S)

    def end(self) -> Any:
        """Let it continue to its end; return its result."""
        self._go_on.set()
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self.result

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001  raised by end()
            self._error = error


@contextmanager
def held(work: Callable[[], Any], point: Point) -> Iterator[Session]:
    """Hold a session at a point."""
    session = Session(work, hold_at=point)
    with injected(session.at):
        yield session.start()


def waiting(dsn: str, work: Callable[[], Any]) -> Session:
    """Start a session that must wait for another's lock, and check that it does."""
    session = Session(work).start()
    with closing(psycopg2.connect(dsn)) as watcher, watcher.cursor() as cur:
        watcher.autocommit = True
        limit = time.monotonic() + WITHIN_S
        while True:
            cur.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cur.fetchone() != (0,):
                return session
            assert session._error is None  # noqa: SLF001
            assert session.result is None, "it did not wait"
            assert time.monotonic() < limit, "it does not wait"


def screened(dsn: str, ref: SetRef, keys: str) -> Callable[[], tuple[int, int, bool]]:
    def work() -> tuple[int, int, bool]:
        with closing(connect(dsn)) as own:
            return enqueue(own, ref, [item(key) for key in keys])

    return work


@contextmanager
def holder(dsn: str, name: str = "holder", batch_id: int = 1) -> Iterator[BatchLease]:
    with closing(BatchLease(dsn, batch_id, name)) as lease:
        assert lease.take(holder_is_dead=dead)
        yield lease


def sent(lease: BatchLease, size: int = 4) -> list[Call]:
    """Write calls ahead with all items of a batch."""
    calls = calls_of(lease, size)
    for call in calls:
        call.attempt += max(entry.attempts for entry in call.entries)
    lease.settle(Settlement(), calls)
    return calls


def finish(dsn: str, conn: connection, ref: SetRef, batch_id: int) -> None:
    """Process the rest of a batch, and close its run."""
    with closing(BatchLease(dsn, batch_id, "finisher")) as lease:
        if lease.take(holder_is_dead=dead):
            if left_of(lease).items:
                lease.settle(success(*sent(lease)), [])
            lease.release(done=True)
    assert close_run(conn, ref, ALL_LIVE) is False


def test_an_item_settled_during_screening_is_known(state_dsn: str, conn: connection) -> None:
    """Screening has read the known items; the item moves before it commits."""
    first = open_batch(conn)
    second = open_run(conn, "second")
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with held(screened(state_dsn, second, "abcde"), Point.CHUNK_COPIED) as screening:
            lease.settle(success(call), [])
            assert screening.end() == (1, 4, False)
        lease.release(done=True)
    assert plan(conn, second, most=10, fewest=10) == [1]
    assert close_run(conn, first, ALL_LIVE) is False
    finish(state_dsn, conn, second, 2)
    assert check(state_dsn, "job", executed=dict.fromkeys("abcde", 1), most_duplicates=0) == []


def test_an_item_with_uncommitted_settling_is_known(state_dsn: str, conn: connection) -> None:
    """Settling has moved the item without committing; screening still sees it in its old place."""
    first = open_batch(conn)
    second = open_run(conn, "second")
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with held(lambda: lease.settle(success(call), []), Point.SETTLE_WRITTEN) as settling:
            assert screened(state_dsn, second, "abcde")() == (1, 4, False)
            settling.end()
        lease.release(done=True)
    assert plan(conn, second, most=10, fewest=10) == [1]
    assert close_run(conn, first, ALL_LIVE) is False
    finish(state_dsn, conn, second, 2)
    assert check(state_dsn, "job", executed=dict.fromkeys("abcde", 1), most_duplicates=0) == []


def test_an_item_that_moves_while_known_items_are_read_is_known(
    state_dsn: str, conn: connection
) -> None:
    """Reading waits for a lock on quarantine; items that move meanwhile are seen in a new place."""
    first = open_batch(conn)
    second = open_run(conn, "second")
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with closing(connect(state_dsn)) as blocker, blocker.cursor() as cur:
            cur.execute("LOCK TABLE retrofill.quarantine IN ACCESS EXCLUSIVE MODE")
            screening = waiting(state_dsn, screened(state_dsn, second, "abcd"))
            lease.settle(success(call), [])
            blocker.rollback()
            assert screening.end() == (0, 4, False)
        lease.release(done=True)
    assert plan(conn, second) == []
    assert close_run(conn, first, ALL_LIVE) is False
    assert close_run(conn, second, ALL_LIVE) is False
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1), most_duplicates=0) == []


def test_two_runs_that_screen_the_same_items_take_turns(state_dsn: str, conn: connection) -> None:
    first, second = open_run(conn, "one"), open_run(conn, "two")
    with held(screened(state_dsn, first, "abc"), Point.CHUNK_COPIED) as one:
        two = waiting(state_dsn, screened(state_dsn, second, "bcd"))
        assert one.end() == (3, 0, False)
        assert two.end() == (1, 2, False)
    assert plan(conn, first, most=10, fewest=10) == [3]
    assert plan(conn, second, most=10, fewest=10) == [1]
    finish(state_dsn, conn, first, 1)
    finish(state_dsn, conn, second, 2)
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1), most_duplicates=0) == []


def test_a_takeover_waits_for_settling_in_progress(state_dsn: str, conn: connection) -> None:
    """Its recorded calls were not sent: they are lost, and the new holder calls the items again."""
    ref = open_batch(conn)
    with holder(state_dsn) as first:
        one, two = calls_of(first, 2)
        first.settle(Settlement(), [one])
        with held(lambda: first.settle(success(one), [two]), Point.SETTLE_WRITTEN) as settling:
            new = BatchLease(state_dsn, 1, "new")
            taking = waiting(state_dsn, lambda: new.take(holder_is_dead=dead))
            settling.end()
            assert taking.end()
        with closing(new):
            assert [item.key for item in left_of(new).items] == ["c", "d"]
            assert invocations(conn) == [(1, "succeeded"), (2, "lost")]
            with pytest.raises(LeaseLost):
                first.settle(Settlement(), [])
    finish(state_dsn, conn, ref, 1)
    executed = dict.fromkeys("abcd", 1)
    assert check(state_dsn, "job", executed=executed, most_duplicates=2) == []


def test_settling_waits_for_a_takeover_in_progress(state_dsn: str, conn: connection) -> None:
    """The new holder has the batch's row; the old one's report comes too late to be an attempt."""
    ref = open_batch(conn)
    with holder(state_dsn) as first:
        (call,) = sent(first)
        call.entries[0].failures = 1
        failure = Settlement(ended=[EndedCall(1, "failed")], retried=[(call.entries[0], 9.0)])
        with closing(connect(state_dsn)) as blocker, blocker.cursor() as cur:
            # The steps of take(), with another session's settling in the middle.
            cur.execute(statements["lock_batch"], {"batch_id": 1})
            settling = waiting(state_dsn, lambda: first.settle(failure, []))
            cur.execute(
                statements["mark_calls_lost"],
                {"batch_ids": [1], "error_type": "t", "error": "e", "calls_kept": 10},
            )
            taken = {"batch_id": 1, "holder": "new", "lease_s": 60}
            taken |= {"task_id": "invoke", "map_index": 0}
            cur.execute(statements["take_lease"], taken)
            blocker.commit()
            with pytest.raises(LeaseLost):
                settling.end()
        with conn, conn.cursor() as cur:
            cur.execute("SELECT max(failures) FROM retrofill.in_process")
            assert cur.fetchone() == (0,)
    finish(state_dsn, conn, ref, 1)
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 2)) == []


@pytest.mark.parametrize("zombie_first", [True, False])
def test_a_success_recorded_by_zombie_and_holder_together_moves_items_once(
    state_dsn: str, conn: connection, *, zombie_first: bool
) -> None:
    ref = open_batch(conn)
    with holder(state_dsn, "zombie") as zombie:
        (old,) = sent(zombie)
        with holder(state_dsn, "new") as new:
            (again,) = sent(new)

            def late() -> None:
                with pytest.raises(LeaseLost):
                    zombie.settle(success(old), [])

            def current() -> None:
                new.settle(success(again), [])

            one, two = (late, current) if zombie_first else (current, late)
            with held(one, Point.SETTLE_WRITTEN) as settling:
                other = waiting(state_dsn, two)
                settling.end()
                other.end()
            assert keys_in(conn, "results") == ["a", "b", "c", "d"]
            new.release(done=True)
    assert close_run(conn, ref, ALL_LIVE) is False
    executed = dict.fromkeys("abcd", 2)
    violations = check(state_dsn, "job", executed=executed, succeeded=executed, most_duplicates=4)
    assert violations == []


def test_a_failure_reported_by_a_zombie_is_not_recorded(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn, 1)
    with holder(state_dsn, "zombie") as zombie:
        (old,) = sent(zombie)
        with holder(state_dsn, "new") as new:
            (again,) = sent(new)
            failed = EndedCall(old.number, "failed")
            poison = [Quarantined(old.entries[0], failed, "x")]

            def late() -> None:
                with pytest.raises(LeaseLost):
                    zombie.settle(Settlement(ended=[failed], quarantined=poison), [])

            with held(late, Point.SETTLE_WRITTEN) as settling:
                success_of_new = waiting(state_dsn, lambda: new.settle(success(again), []))
                settling.end()
                success_of_new.end()
            new.release(done=True)
    assert close_run(conn, ref, ALL_LIVE) is False
    assert check(state_dsn, "job", executed={"a": 2}, poison=()) == []


def test_releasing_a_set_waits_for_settling_in_progress(state_dsn: str, conn: connection) -> None:
    """The last success is in flight when the run closes: the run is complete and reports it."""
    ref = open_batch(conn)
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with held(lambda: lease.settle(success(call), []), Point.SETTLE_WRITTEN) as settling:

            def close() -> bool:
                with closing(connect(state_dsn)) as own:
                    return close_run(own, ref, ALL_LIVE)

            closing_run = waiting(state_dsn, close)
            settling.end()
            assert closing_run.end() is False
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1), most_duplicates=0) == []


def test_a_success_after_the_release_of_its_set_is_counted_before_the_run_closes(
    state_dsn: str, conn: connection
) -> None:
    ref = open_batch(conn)
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with held(lambda: close_run(conn, ref, ALL_LIVE), Point.RUN_CLOSING) as closing_run:
            with pytest.raises(LeaseLost):
                lease.settle(success(call), [])
            assert closing_run.end() is False
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1)) == []


def test_a_success_after_closing_does_not_change_the_report(
    state_dsn: str, conn: connection
) -> None:
    """It closed as incomplete and stays so; the next run finds nothing left to do."""
    ref = open_batch(conn)
    with holder(state_dsn) as lease:
        (call,) = sent(lease)
        with pytest.raises(RunIncomplete):
            close_run(conn, ref, ALL_LIVE)
        with pytest.raises(LeaseLost):
            lease.settle(success(call), [])
    assert check(state_dsn, "job", complete=False) == []
    second = open_run(conn, "second")
    assert screened(state_dsn, second, "abcd")() == (0, 4, False)
    assert plan(conn, second) == []
    assert close_run(conn, second, ALL_LIVE) is False
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1)) == []


def end_leases(conn: connection) -> None:
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET leased_until = now() - interval '1 s'")


def plan_after_rescue(conn: connection, ref: SetRef) -> list[int]:
    """Plan like plan_batches when Airflow has ended all other DAG runs."""
    rescue(conn, StillAirflow(lambda _, ids: "second" in ids))
    return plan(conn, ref, most=10, fewest=10)


def test_a_holder_that_settles_at_the_last_moment_keeps_its_items(
    state_dsn: str, conn: connection
) -> None:
    """A run is considered abandoned while a holder with an expired lease settles after all."""
    first = open_batch(conn)
    second = open_run(conn, "second")
    enqueue(conn, second, [item("e")])
    with holder(state_dsn) as lease:
        one, _ = sent(lease, 2)
        end_leases(conn)
        with held(lambda: lease.settle(success(one), []), Point.SETTLE_WRITTEN) as settling:

            def planned() -> list[int]:
                with closing(connect(state_dsn)) as own:
                    return plan_after_rescue(own, second)

            planning = waiting(state_dsn, planned)
            settling.end()
            assert planning.end() == [1]
    report = runs.get_report(conn, second.run_id)
    assert (report.resumed, report.new, report.items_left) == (0, 1, 1)
    finish(state_dsn, conn, second, 2)
    finish(state_dsn, conn, first, 1)
    executed = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 1}
    assert check(state_dsn, "job", executed=executed) == []


def test_late_settling_after_planning_counts_for_the_new_owner(
    state_dsn: str, conn: connection
) -> None:
    """The zombie's success is in flight while its items are planned for the next run."""
    open_batch(conn)
    second = open_run(conn, "second")
    enqueue(conn, second, [])
    with holder(state_dsn) as lease:
        one, two = sent(lease, 2)
        end_leases(conn)
        assert plan_after_rescue(conn, second) == [4]

        def late() -> None:
            with pytest.raises(LeaseLost):
                lease.settle(success(one), [])

        with held(late, Point.SETTLE_WRITTEN) as settling:
            new = BatchLease(state_dsn, 2, "new")
            taking = waiting(state_dsn, lambda: new.take(holder_is_dead=dead))
            settling.end()
            assert taking.end()
        with closing(new):
            (again,) = sent(new)
            assert [entry.seq for entry in again.entries] == [entry.seq for entry in two.entries]
            new.settle(success(again), [])
            new.release(done=True)
    assert close_run(conn, second, ALL_LIVE) is False
    executed = {"a": 1, "b": 1, "c": 2, "d": 2}
    assert check(state_dsn, "job", executed=executed) == []


def test_concurrent_planning_plans_each_item_once(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in "abcd"])
    with closing(connect(state_dsn)) as blocker, blocker.cursor() as cur:
        cur.execute("SELECT FROM retrofill.job FOR NO KEY UPDATE")

        def planned() -> int:
            with closing(connect(state_dsn)) as own:
                return len(batches.plan(own, ref, 1, most_items=10, fewest_items=10))

        both = [waiting(state_dsn, planned) for _ in range(2)]
        blocker.commit()
        assert [session.end() for session in both] == [1, 1]
    finish(state_dsn, conn, ref, 1)
    assert check(state_dsn, "job", executed=dict.fromkeys("abcd", 1), most_duplicates=0) == []


def test_a_run_with_a_partition_left_is_not_complete(conn: connection) -> None:
    ref = open_run(conn, partitions=2)
    enqueue(conn, ref, [])
    with pytest.raises(RunIncomplete, match="1 partition not listed to the end"):
        close_run(conn, ref, ALL_LIVE)
    assert runs.get_report(conn, ref.run_id).status == "incomplete"
