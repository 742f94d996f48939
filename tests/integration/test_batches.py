"""Batches on a real Postgres: planning, leases, settling and fencing."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.aws.objects import pack
from retrofill.engine import batching
from retrofill.faults import Point, injected
from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement, Span
from retrofill.model.errors import LeaseLost, StateUnavailable
from retrofill.model.runs import SetRef
from retrofill.pipeline.rescue import rescue
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease, Busy

from tests.integration.opened import (
    ALL_LIVE,
    MOMENT,
    StillAirflow,
    change_limits,
    close,
    enqueue,
    entries_of,
    item,
    keys_in,
    left_of,
    open_run,
)


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def alive(_: str) -> bool:
    return False


def dead(_: str) -> bool:
    return True


def plan(conn: connection, ref: SetRef, most: int = 10, fewest: int = 1) -> list[int]:
    planned = batches.plan(conn, ref, 1, most_items=most, fewest_items=fewest)
    return [batch.items for batch in planned]


def open_batch(conn: connection, count: int = 4, **opening: int) -> SetRef:
    """Open a run of one batch with this many items: a, b, c…"""
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [item(chr(ord("a") + number)) for number in range(count)])
    plan(conn, ref, most=count, fewest=count)
    return ref


def taken(dsn: str, holder: str = "h", batch_id: int = 1) -> BatchLease:
    lease = BatchLease(dsn, batch_id, holder)
    assert lease.take(holder_is_dead=dead)
    return lease


def calls_of(lease: BatchLease, size: int = 1) -> list[Call]:
    entries = entries_of(lease)
    return [Call.of(entries[at : at + size]) for at in range(0, len(entries), size)]


def success(*calls: Call) -> Settlement:
    return Settlement(
        ended=[EndedCall(call.number, "succeeded", request_id="r") for call in calls],
        succeeded=[(span, call.number) for call in calls for span in call.spans],
    )


def invocations(conn: connection) -> list[tuple[int, str | None]]:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT call_no, outcome::text FROM retrofill.invocation ORDER BY call_no")
        return cur.fetchall()


@pytest.mark.parametrize(
    ("items", "most", "fewest", "sizes"),
    [
        (0, 10, 1, []),
        (3, 10, 5, [3]),
        (8, 10, 1, [2, 2, 2, 2]),
        (25, 5, 1, [5] * 5),
        (4000, 5, 1, [20] * 200),
    ],
)
def test_items_are_cut_into_batches(
    conn: connection, items: int, most: int, fewest: int, sizes: list[int]
) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"{number:06}") for number in range(items)])
    assert plan(conn, ref, most, fewest) == sizes
    assert plan(conn, ref, most, fewest) == sizes, "a later try must plan the same"


def test_items_of_another_run_stay_there(conn: connection) -> None:
    open_batch(conn)
    second = open_run(conn, "second")
    enqueue(conn, second, [item("a"), item("x")])
    assert plan(conn, second) == [1]


def test_items_that_a_run_left_behind_go_to_the_next(conn: connection) -> None:
    first = open_batch(conn)
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    assert plan(conn, second, most=10, fewest=10) == [4]
    report = runs.get_report(conn, second.run_id)
    assert (report.resumed, report.items_left) == (4, 4)


@pytest.mark.parametrize("found_by", ["the next try", "close_run", "the maintenance DAG"])
def test_a_task_that_ended_silently_is_counted(
    state_dsn: str, conn: connection, found_by: str
) -> None:
    ref = open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        lease.release(done=False)
    taken(state_dsn).close()
    match found_by:
        case "the next try":
            with closing(taken(state_dsn)) as lease:
                lease.release(done=False)
        case "close_run":
            batches.release_set(conn, ref)
        case "the maintenance DAG":
            with conn, conn.cursor() as cur:
                cur.execute("UPDATE retrofill.batch SET leased_until = now() - interval '1 s'")
            batches.rescue_run(conn, ref.run_id, 1)
    batches.release_run(conn, ref.run_id)
    report = runs.get_report(conn, ref.run_id)
    assert report.lost_tasks == 1
    assert "tasks lost: 1" in report.as_text({})


def test_remaining_items_are_planned_without_processed_ones(
    state_dsn: str, conn: connection
) -> None:
    """Processed items leave holes, at both ends and in between: no batch counts them."""
    first = open_batch(conn, count=12)
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        lease.settle(success(*(calls[at] for at in (0, 3, 4, 8, 11))), [])
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    enqueue(conn, second, [item("x"), item("y")])
    assert plan(conn, second, most=3, fewest=3) == [3, 3, 3]
    held = []
    for batch_id in (2, 3, 4):
        with closing(taken(state_dsn, batch_id=batch_id)) as lease:
            held.append("".join(item.key for item in left_of(lease).items))
    assert held == ["bcf", "ghj", "kxy"]
    report = runs.get_report(conn, second.run_id)
    assert (report.new, report.resumed, report.items_left) == (2, 7, 9)


def test_planning_whole_extents_reads_no_items(conn: connection) -> None:
    """The range of numbers is enough: planning costs the same for any number of items."""
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"k{number:05}") for number in range(20_000)])
    tell_what_was_read(conn)
    before = rows_read(conn)
    assert plan(conn, ref, most=10_000) == [5_000] * 4
    tell_what_was_read(conn)
    assert rows_read(conn) == before


def test_a_batch_of_a_closed_run_is_freed_after_its_cleared_task_died(
    state_dsn: str, conn: connection
) -> None:
    first = open_batch(conn)
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    with closing(taken(state_dsn)) as lease:  # someone has cleared the task
        assert rescue(conn, StillAirflow(lambda _, __: False), but=second.run_id) == []
        assert plan(conn, second) == []
        lease.release(done=False)  # and it was killed
    assert rescue(conn, ALL_LIVE, but=second.run_id) == []
    assert plan(conn, second) == [], "Airflow will try it again"
    assert rescue(conn, StillAirflow(lambda _, __: False), but=second.run_id) == []
    assert plan(conn, second, most=10, fewest=10) == [4]


def test_a_batch_has_one_holder_at_a_time(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)), closing(BatchLease(state_dsn, 1, "other")) as other:
        with pytest.raises(Busy) as busy:
            other.take(holder_is_dead=alive)
        assert busy.value.holder == "h"
        assert 50 < busy.value.leased_s <= 60
        assert other.take(holder_is_dead=dead)


def test_success_moves_items_and_counts(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        first, second = calls_of(lease, 2)
        lease.settle(Settlement(), [first, second])
        assert invocations(conn) == [(1, None), (2, None)]
        lease.settle(success(first), [])
        assert (keys_in(conn, "results"), keys_in(conn, "in_process")) == (["a", "b"], ["c", "d"])
        lease.settle(success(second), [])
        lease.release(done=True)
    report = runs.get_report(conn, ref.run_id)
    assert (report.succeeded, report.calls, report.items_left) == (4, 2, 0)
    with closing(BatchLease(state_dsn, 1, "late")) as late:
        assert not late.take(holder_is_dead=dead)


def extents(conn: connection) -> list[tuple[int, str, str]]:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT first_seq, first_key, last_key FROM retrofill.extent ORDER BY 1")
        return cur.fetchall()


def test_planning_forgets_extents_without_items(state_dsn: str, conn: connection) -> None:
    """An extent with an item left stays: otherwise the next chunk would enqueue the item again."""
    ref = open_batch(conn, partitions=2)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.job SET next_seq = 10000")
    enqueue(conn, ref, [item("x"), item("y")], part_no=1)
    assert extents(conn) == [(1, "a", "d"), (10_000, "x", "y")]
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls[:3]), [])
        plan(conn, ref)
        assert extents(conn) == [(1, "a", "d"), (10_000, "x", "y")]
        lease.settle(success(calls[3]), [])
        lease.release(done=True)
    plan(conn, ref)
    assert extents(conn) == [(10_000, "x", "y")]
    assert enqueue(conn, open_run(conn, "second"), [item(key) for key in "abxyz"]) == (1, 4, False)


def test_failures_are_kept_with_the_item(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        (call,) = calls_of(lease, 4)
        lease.settle(Settlement(), [call])
        good, bad, poison, unsure = call.entries
        bad.attempts, bad.failures, bad.call_cap = 1, 1, 2
        poison.attempts = poison.failures = 3
        unsure.attempts, unsure.unsure = 1, True
        ended = EndedCall(1, "failed", "r", "1", "Error", "no good")
        settlement = Settlement(
            ended=[ended],
            succeeded=[(Span(good.seq, good.seq), 1)],
            quarantined=[Quarantined(poison, ended, "poison")],
            retried=[(bad, 30.0), (unsure, 0.0)],
        )
        lease.settle(settlement, [])
        loaded = {entry.item.key: entry for entry in entries_of(lease)}
        history = left_of(lease).histories[loaded["b"].seq]
    assert set(loaded) == {"b", "d"}
    assert (loaded["b"].attempts, loaded["b"].failures, loaded["b"].call_cap) == (1, 1, 2)
    assert 25 < history.delay_s <= 30
    assert loaded["d"].unsure
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT item_key, attempts, error_type, error, request_id FROM retrofill.v_quarantine"
        )
        assert cur.fetchall() == [("c", 3, "Error", "poison", "r")]


def test_batches_are_limited_by_the_size_of_their_content(
    conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MOST_BYTES", 2_100)
    ref = open_run(conn)
    enqueue(conn, ref, [item(key)._replace(content="é" * 500) for key in "abcde"])
    plan(conn, ref, fewest=5)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT items, bytes FROM retrofill.batch ORDER BY first_seq")
        assert cur.fetchall() == [(2, 2_000), (2, 2_000), (1, 1_000)]


def test_the_bytes_of_whole_extents_are_exact(conn: connection) -> None:
    """Even if the mean size of their items is not a whole number."""
    ref = open_run(conn, partitions=2)
    for part_no, keys in enumerate(("abc", "wxyz")):
        contents = {key: key * (number + 1) for number, key in enumerate(keys)}
        enqueue(
            conn, ref, [item(key)._replace(content=one) for key, one in contents.items()], part_no
        )
        with conn, conn.cursor() as cur:
            cur.execute("UPDATE retrofill.job SET next_seq = 10001")
    plan(conn, ref, fewest=5)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT items, bytes FROM retrofill.batch ORDER BY first_seq")
        assert cur.fetchall() == [(5, 6 + 2 * 10 // 4), (2, 5)]
        cur.execute("SELECT sum(octet_length(content)) FROM retrofill.in_process")
        assert cur.fetchall() == [(16,)]


def test_a_batch_is_loaded_as_it_was_enqueued(state_dsn: str, conn: connection) -> None:
    keys = ["a\tb\nc\\d", 'e"f', "g\x01\x7f", "h\u20ac\U0001f600", "i, j", "null", "{}"]
    times = [MOMENT, MOMENT.replace(microsecond=1), MOMENT.replace(microsecond=120_000)]
    items = [
        item(key)._replace(
            content=pack(
                number * 10**12, times[number % 3], f'"{number}"-\\', "v 1" if number % 2 else ""
            )
        )
        for number, key in enumerate(keys)
    ]
    ref = open_run(conn)
    enqueue(conn, ref, items)
    plan(conn, ref, fewest=len(items))
    with closing(taken(state_dsn)) as lease:
        seqs, loaded, histories = left_of(lease)
        assert list(loaded) == items
        assert not histories
        calls = [call for call in calls_of(lease) if call.entries[0].item.key == "null"]
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
        assert left_of(lease).seqs == [seq for seq, one in zip(seqs, items, strict=True)
                                     if one.key != "null"]  # fmt: skip
        assert [one.key for one in left_of(lease).items] == [key for key in keys if key != "null"]


def test_calls_of_a_dead_holder_are_lost_and_their_items_in_doubt(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as first:
        sent, _ = calls_of(first, 2)
        first.settle(Settlement(), [sent])
        with closing(taken(state_dsn, "second")) as second:
            loaded = {entry.item.key: entry for entry in entries_of(second)}
            histories = left_of(second).histories
            assert [loaded[key].attempts for key in "abcd"] == [1, 1, 0, 0]
            assert [loaded[key].unsure for key in "abcd"] == [True, True, False, False]
            assert 2 < histories[loaded["a"].seq].delay_s <= 3, "not before the function's timeout"
            assert loaded["c"].seq not in histories
            assert invocations(conn) == [(1, "lost")]
            again = Call.of([loaded["a"]], attempt=2)
            second.settle(Settlement(), [again])
            assert again.number == 2
    report = runs.get_report(conn, 1)
    assert (report.calls, report.retries, report.duplicates) == (2, 1, 1)


def test_a_zombie_may_record_only_successes(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as zombie:
        good, bad, *_ = calls = calls_of(zombie)
        zombie.settle(Settlement(), calls[:2])
        with closing(taken(state_dsn, "second")) as second:
            settlement = success(good)
            failed = EndedCall(bad.number, "failed")
            settlement.ended.append(failed)
            settlement.quarantined.append(Quarantined(bad.entries[0], failed, "x"))
            with pytest.raises(LeaseLost):
                zombie.settle(settlement, [calls[2]])
            assert keys_in(conn, "results") == ["a"]
            assert keys_in(conn, "quarantine") == []
            assert len(invocations(conn)) == 2, "the zombie may not write ahead"
            with pytest.raises(LeaseLost):
                zombie.allot(1, 0)
            second.settle(Settlement(), [good])
            second.settle(success(good), [])
    assert runs.get_report(conn, 1).succeeded == 1


def test_a_commit_without_a_response_is_not_applied_twice(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        (call,) = calls_of(lease, 4)
        lease.settle(Settlement(), [call])
        reached: list[Point] = []

        def lose_the_answer(point: Point) -> None:
            reached.append(point)
            if reached == [Point.SETTLE_WRITTEN, Point.SETTLE_COMMITTED]:
                raise StateUnavailable("the answer is lost")

        with injected(lose_the_answer):
            lease.settle(success(call), [])
    assert reached == [Point.SETTLE_WRITTEN, Point.SETTLE_COMMITTED]
    assert runs.get_report(conn, 1).succeeded == 4


def test_a_broken_connection_is_replaced_and_settling_repeated(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        (call,) = calls_of(lease, 4)
        lease.settle(Settlement(), [call])
        with conn, conn.cursor() as cur:
            cur.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
        lease.settle(success(call), [])
    assert runs.get_report(conn, 1).succeeded == 4


def test_the_shares_never_exceed_the_cap(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn, max_concurrency=10)
    enqueue(conn, ref, [item(f"{number}") for number in range(8)])
    assert plan(conn, ref) == [2, 2, 2, 2]
    held = [taken(state_dsn, batch_id=number) for number in (1, 2, 3, 4)]
    shares = [0, 0, 0, 0]
    assert held[0].allot(100, 0).concurrency == 10
    shares[0] = 10
    in_flight = 10
    for turn in range(12):
        at = turn % 4
        shares[at] = held[at].allot(100, in_flight if at == 0 else shares[at]).concurrency
        if at == 0:
            in_flight = min(in_flight, shares[0])
        assert max(in_flight, shares[0]) + sum(shares[1:]) <= 10
    assert sorted(shares) == [1, 3, 3, 3]
    change_limits(conn, ref.run_id, paused=True)
    assert held[0].allot(100, 3).concurrency == 0
    for lease in held:
        lease.close()


def test_a_cleared_task_takes_its_batch_again(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn)
    batches.release_set(conn, ref)
    with closing(taken(state_dsn)) as again:
        assert len(left_of(again).items) == 4
    batches.release_set(conn, ref)
    close(conn, ref.run_id, complete=False)
    plan(conn, open_run(conn, "second"))
    with closing(BatchLease(state_dsn, 1, "late")) as late:
        assert not late.take(holder_is_dead=dead), "a later run has the items now"


def test_results_hold_an_item_once(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        (call,) = calls_of(lease, 4)
        lease.settle(Settlement(), [call])
        lease.settle(success(call), [])
    with conn, conn.cursor() as cur, pytest.raises(psycopg2.errors.UniqueViolation):
        cur.execute("INSERT INTO retrofill.results SELECT * FROM retrofill.results")


def test_items_that_a_cleared_run_enqueues_later_are_planned(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("a"), item("b")], done=False)
    assert plan(conn, ref, most=10, fewest=10) == [2]
    enqueue(conn, ref, [item("c")])
    assert plan(conn, ref, most=10, fewest=10) == [2, 1]


def test_unplanned_items_of_another_run_stay_with_it(conn: connection) -> None:
    first, second = open_run(conn, "one"), open_run(conn, "two")
    enqueue(conn, first, [item("a"), item("b")])
    enqueue(conn, second, [item("c")])
    assert plan(conn, second) == [1]
    assert plan(conn, first, most=10, fewest=10) == [2]


def test_two_runs_that_enqueue_in_turn_share_no_item(state_dsn: str, conn: connection) -> None:
    first, second = open_run(conn, "one"), open_run(conn, "two")
    enqueue(conn, first, [item("a"), item("b")], done=False)
    enqueue(conn, second, [item("c"), item("d")])
    enqueue(conn, first, [item("e"), item("f")])
    assert plan(conn, second, most=10, fewest=10) == [2]
    assert plan(conn, first, most=10, fewest=10) == [2, 2]
    held = []
    for batch_id in (1, 2, 3):
        with closing(taken(state_dsn, batch_id=batch_id)) as lease:
            held.append("".join(item.key for item in left_of(lease).items))
    assert held == ["cd", "ab", "ef"]


def test_a_zombie_that_returns_its_batch_does_not_touch_the_new_holders_calls(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as zombie, closing(taken(state_dsn, "second")) as second:
        (call,) = calls_of(second, 4)
        second.settle(Settlement(), [call])
        zombie.release(done=False)
        assert invocations(conn) == [(1, None)]
        second.settle(success(call), [])
        second.release(done=True)
    assert runs.get_report(conn, 1).succeeded == 4


def test_items_that_a_zombie_reported_as_done_are_not_called_again(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as zombie:
        first, second = calls_of(zombie, 2)
        zombie.settle(Settlement(), [first, second])
        with closing(taken(state_dsn, "new")) as holder:
            whole = Call.of(
                [entry for call in calls_of(holder) for entry in call.entries], attempt=2
            )
            alone = Call.of(whole.entries[:1], attempt=2)
            with pytest.raises(LeaseLost):
                zombie.settle(success(first), [])
            calls = [alone, whole]
            holder.settle(Settlement(), calls)
            assert calls == [whole]
            assert [entry.item.key for entry in whole.entries] == ["c", "d"]
            assert whole.number == 3
            assert invocations(conn)[2:] == [(3, None)]
    assert runs.get_report(conn, 1).calls == 3


def test_a_processed_item_is_not_counted_as_quarantined(state_dsn: str, conn: connection) -> None:
    open_batch(conn, 1)
    with closing(taken(state_dsn)) as zombie:
        (call,) = calls_of(zombie)
        zombie.settle(Settlement(), [call])
        with closing(taken(state_dsn, "new")) as holder:
            (again,) = calls_of(holder)
            holder.settle(Settlement(), [again])
            with pytest.raises(LeaseLost):
                zombie.settle(success(call), [])
            failed = EndedCall(again.number, "failed")
            poison = [Quarantined(again.entries[0], failed, "x")]
            holder.settle(Settlement(ended=[failed], quarantined=poison), [])
    report = runs.get_report(conn, 1)
    assert (report.succeeded, report.quarantined, report.items_left) == (1, 0, 0)


def test_a_late_success_counts_for_the_current_run_of_the_item(
    state_dsn: str, conn: connection
) -> None:
    first = open_batch(conn)
    with closing(taken(state_dsn)) as zombie:
        one, two = calls_of(zombie, 2)
        zombie.settle(Settlement(), [one, two])
        batches.release_set(conn, first)
        close(conn, first.run_id, complete=False)
        second = open_run(conn, "second")
        enqueue(conn, second, [])
        assert plan(conn, second, most=10, fewest=10) == [4]
        with pytest.raises(LeaseLost):
            zombie.settle(success(one), [])
    reports = [runs.get_report(conn, ref.run_id) for ref in (first, second)]
    assert [report.succeeded for report in reports] == [0, 2]
    assert reports[1].items_left == 2


def tell_what_was_read(*conns: connection) -> None:
    """Make the server count these connections' reads now; otherwise it takes some seconds."""
    for conn in conns:
        with conn, conn.cursor() as cur:
            cur.execute("SELECT pg_stat_force_next_flush()")


def rows_read(conn: connection) -> int:
    """Return how many item rows the server has read for statements, by its own count."""
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables"
            " WHERE relname = 'in_process'"
        )
        (row,) = cur.fetchall()
    return int(row[0])


def test_settling_reads_no_more_items_than_it_settles(state_dsn: str, conn: connection) -> None:
    # Enough that reading all would cost more, and enqueued just now: there are no statistics.
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"k{number:05}") for number in range(20_000)])
    plan(conn, ref, most=20_000, fewest=20_000)
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease, 50)
        good, bad, poison = calls[:50], calls[50:55], calls[55:60]
        lease.settle(Settlement(), calls[:60])
        tell_what_was_read(conn, lease._conn)  # noqa: SLF001
        before = rows_read(conn)
        ended = EndedCall(poison[0].number, "failed", "r", "1", "Error", "no good")
        lease.settle(
            Settlement(
                ended=[*success(*good).ended, ended],
                succeeded=success(*good).succeeded,
                retried=[(call.entries[0], 30.0) for call in bad],
                quarantined=[Quarantined(call.entries[0], ended, "no good") for call in poison],
            ),
            [],
        )
        tell_what_was_read(lease._conn)  # noqa: SLF001
    settled = 50 * 50 + 5 + 5
    assert settled <= rows_read(conn) - before <= 2 * settled


def test_each_item_is_stored_with_the_call_that_carried_it(
    conn: connection, state_dsn: str
) -> None:
    """Also if calls end in another order than they started, and an item in between is left."""
    open_batch(conn, count=7)
    with closing(taken(state_dsn)) as lease:
        entries = entries_of(lease)
        first, second, third, fourth = (
            Call.of(entries[at:to]) for at, to in [(0, 2), (2, 3), (3, 5), (5, 7)]
        )
        lease.settle(Settlement(), [first, second, third, fourth])
        lease.settle(success(fourth, first, third), [])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT item_key, call_no FROM retrofill.results ORDER BY item_key")
        assert cur.fetchall() == [("a", 1), ("b", 1), ("d", 3), ("e", 3), ("f", 4), ("g", 4)]
    assert keys_in(conn, "in_process") == ["c"]


def pages(conn: connection) -> list[tuple[int, int]]:
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT call_no, (ctid::text::point)[0]::integer FROM retrofill.invocation ORDER BY 1"
        )
        return cur.fetchall()


def test_the_end_of_a_call_is_written_on_the_page_of_its_start(
    conn: connection, state_dsn: str
) -> None:
    """On the same page, so that the index of calls needs no new entry."""
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"{number:04}") for number in range(300)])
    plan(conn, ref, most=300, fewest=300)
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        begun = pages(conn)
        settlement = success(*calls)
        settlement.ended = [
            EndedCall(call.number, "succeeded", "5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1", "17")
            for call in calls
        ]
        lease.settle(settlement, [])
    assert len(begun) == 300
    assert pages(conn) == begun
