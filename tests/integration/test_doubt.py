"""Calls in doubt: their counts, held items, and late successes."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.model.calls import Call, EndedCall, Entry, Quarantined, Settlement
from retrofill.model.errors import LeaseLost
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.integration.opened import close, keys_in, left_of, open_run
from tests.integration.test_batches import calls_of, open_batch, plan, success, taken

HOLD = {"on_unknown": "hold"}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def places(conn: connection) -> tuple[list[str], list[str], list[str]]:
    """Return the keys in process, in results and in quarantine."""
    in_process, results, quarantine = (
        keys_in(conn, table) for table in ("in_process", "results", "quarantine")
    )
    return in_process, results, quarantine


def counts(conn: connection, run_id: int = 1) -> tuple[int, int, int]:
    """Return a run's counts of succeeded, quarantined and remaining items."""
    report = runs.get_report(conn, run_id)
    return report.succeeded, report.quarantined, report.items_left


def outcomes(conn: connection, run_id: int = 1) -> dict[tuple[str, str], tuple[int, int]]:
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT outcome::text, cause, calls, items FROM retrofill.v_outcome WHERE run_id = %s",
            (run_id,),
        )
        return {(row[0], row[1]): row[2:] for row in cur.fetchall()}


def sent(lease: BatchLease, size: int = 1) -> list[Call]:
    calls = calls_of(lease, size)
    lease.settle(Settlement(), calls)
    return calls


def failing(call: Call, outcome: str, cause: str = "") -> EndedCall:
    return EndedCall(call.number, outcome, "r", "1", "E", "e", cause, len(call.entries))


def test_each_outcome_has_a_count_that_outlives_the_calls(state_dsn: str, conn: connection) -> None:
    open_batch(conn, 6)
    with closing(taken(state_dsn)) as lease:
        first, second, third = sent(lease, 2)
        ended = [
            failing(first, "failed", "timed_out"),
            failing(second, "throttled"),
            EndedCall(third.number, "succeeded", items=2),
        ]
        lease.settle(Settlement(ended=ended), [])
        again = calls_of(lease, 2)[0]
        lease.settle(Settlement(), [again])
        lease.settle(Settlement(ended=[failing(again, "failed", "timed_out")]), [])
    expected = {
        ("failed", "timed_out"): (2, 4), ("throttled", ""): (1, 2), ("succeeded", ""): (1, 2),
    }  # fmt: skip
    assert outcomes(conn) == expected
    with conn, conn.cursor() as cur:
        cur.execute("DELETE FROM retrofill.invocation")
    assert outcomes(conn) == expected
    report = runs.get_report(conn, 1)
    assert (report.calls, report.failed, report.timed_out, report.throttled) == (4, 2, 2, 1)
    assert "troubles    2 failed (2 timed out), 1 throttled" in report.as_text({})
    assert report.as_json()["timed_out"] == 2


def test_settling_only_successes_writes_no_counts_row(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        lease.settle(success(*sent(lease)), [])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.call_count")
        assert cur.fetchall() == [(0,)]
    assert counts(conn) == (4, 0, 0)


@pytest.mark.parametrize("way", ["taken over", "released", "closed", "abandoned"])
def test_unsettled_items_of_a_holder_are_held_whichever_task_finds_them(
    state_dsn: str, conn: connection, way: str
) -> None:
    ref = open_batch(conn, config=HOLD)
    with closing(taken(state_dsn)) as lease:
        call, _ = calls_of(lease, 2)
        lease.settle(Settlement(), [call])
        match way:
            case "taken over":
                with closing(taken(state_dsn, "second")) as second:
                    assert [item.key for item in left_of(second).items] == ["c", "d"]
            case "released":
                lease.release(done=False)
            case "closed":
                batches.release_set(conn, ref)
            case "abandoned":
                with conn, conn.cursor() as cur:
                    cur.execute("UPDATE retrofill.batch SET leased_until = now() - interval '1 s'")
                assert batches.rescue_run(conn, ref.run_id, 1) == "incomplete"
                # The config of the run that made the call counts, not the next run's.
                assert plan(conn, open_run(conn, "second")) == [1, 1]
    assert places(conn) == (["c", "d"], [], ["a", "b"])
    assert counts(conn) == (0, 2, 2)
    assert outcomes(conn) == {("lost", ""): (1, 2)}
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT DISTINCT attempts, failures, unsure, error_type, redrives"
            " FROM retrofill.v_quarantine"
        )
        assert cur.fetchall() == [(1, 0, True, "Call.Lost", 0)]


def test_without_hold_an_item_waits_for_the_timeout(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn, config={"on_unknown": "retry"})
    with closing(taken(state_dsn)) as lease:
        sent(lease)
        batches.release_set(conn, ref)
    assert places(conn) == (["a", "b", "c", "d"], [], [])
    assert counts(conn) == (0, 0, 4)


def test_a_late_success_releases_a_held_item_once(state_dsn: str, conn: connection) -> None:
    open_batch(conn, config=HOLD)
    with closing(taken(state_dsn)) as zombie:
        good, bad, silent, _ = sent(zombie)
        with closing(taken(state_dsn, "second")) as second:
            assert left_of(second).items == []
            assert counts(conn) == (0, 4, 0)
            settlement = success(good)
            settlement.ended += [failing(bad, "failed", "unhandled"), failing(silent, "unknown")]
            for _ in range(2):
                with pytest.raises(LeaseLost):
                    zombie.settle(settlement, [])
                assert places(conn) == ([], ["a"], ["b", "c", "d"])
                assert counts(conn) == (1, 3, 0)
                assert {key: calls for key, (calls, _) in outcomes(conn).items()} == {
                    ("succeeded", ""): 1,
                    ("failed", "unhandled"): 1,
                    ("unknown", ""): 1,
                    ("lost", ""): 1,
                }


def test_a_late_success_releases_items_that_the_new_holder_quarantined(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn, 1)
    with closing(taken(state_dsn)) as zombie:
        (call,) = sent(zombie)
        with closing(taken(state_dsn, "second")) as second:
            (again,) = sent(second)
            ended = failing(again, "failed", "unhandled")
            given_up = Settlement(
                ended=[ended], quarantined=[Quarantined(again.entries[0], ended, "x")]
            )
            second.settle(given_up, [])
            assert counts(conn) == (0, 1, 0)
            with pytest.raises(LeaseLost):
                zombie.settle(success(call), [])
            assert places(conn) == ([], ["a"], [])
            assert counts(conn) == (1, 0, 0)


def test_a_late_success_is_not_also_counted_as_quarantined(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn, 1)
    with closing(taken(state_dsn)) as zombie:
        (call,) = sent(zombie)
        with closing(taken(state_dsn, "second")) as second:
            (again,) = sent(second)
            with pytest.raises(LeaseLost):
                zombie.settle(success(call), [])
            ended = failing(again, "failed", "unhandled")
            second.settle(
                Settlement(ended=[ended], quarantined=[Quarantined(again.entries[0], ended, "x")]),
                [],
            )
    assert places(conn) == ([], ["a"], [])
    assert counts(conn) == (1, 0, 0)


def test_a_late_success_counts_for_the_current_run_of_the_item(
    state_dsn: str, conn: connection
) -> None:
    first = open_batch(conn, 2)
    with closing(taken(state_dsn)) as zombie:
        good, _ = sent(zombie)
        batches.release_set(conn, first)
        close(conn, first.run_id, complete=False)
        second = open_run(conn, "second")
        assert plan(conn, second, most=10, fewest=10) == [2]
        with pytest.raises(LeaseLost):
            zombie.settle(success(good), [])
    assert counts(conn, second.run_id) == (1, 0, 1)
    with closing(taken(state_dsn, batch_id=2)) as lease:
        (left,) = sent(lease)
        lease.settle(success(left), [])
    assert counts(conn, second.run_id) == (2, 0, 0)
    assert places(conn) == ([], ["a", "b"], [])


def test_a_late_success_counts_the_call_in_flight_of_any_batch(
    state_dsn: str, conn: connection
) -> None:
    first = open_batch(conn, 1)
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    assert plan(conn, second, most=10, fewest=10) == [1]
    batches.release_set(conn, second)
    close(conn, second.run_id, complete=False)
    # The first run's task is cleared: it continues with an item that the second had meanwhile.
    with closing(taken(state_dsn)) as zombie:
        (call,) = sent(zombie)
        with closing(taken(state_dsn, "heir")) as heir:
            sent(heir)
            with pytest.raises(LeaseLost):
                zombie.settle(success(call), [])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT place, attempts FROM retrofill.v_item")
        assert cur.fetchall() == [("results", 2)]


def test_a_replaced_holder_gives_nothing_back(state_dsn: str, conn: connection) -> None:
    open_batch(conn, config=HOLD)
    with closing(taken(state_dsn)) as first, closing(taken(state_dsn, "second")) as second:
        sent(second)
        first.release(done=False)
        assert places(conn) == (["a", "b", "c", "d"], [], []), "those calls are the second's"
        second.release(done=False)
    assert places(conn) == ([], [], ["a", "b", "c", "d"])


def test_held_items_stay_marked_as_unsure(state_dsn: str, conn: connection) -> None:
    open_batch(conn, 1)
    with closing(taken(state_dsn)) as lease:
        (call,) = sent(lease)
        entry: Entry = call.entries[0]
        entry.attempts, entry.unsure = 1, True
        ended = failing(call, "unknown")
        lease.settle(Settlement(ended=[ended], quarantined=[Quarantined(entry, ended, "x")]), [])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT attempts, failures, unsure FROM retrofill.v_quarantine")
        assert cur.fetchall() == [(1, 0, True)]
