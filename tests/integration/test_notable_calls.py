"""The calls that people look for first, found by what settling and leases store."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from retrofill.engine.slowest import KEPT, Slow
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.runs import SetRef, TaskName
from retrofill.pipeline.maintenance import forget_calls
from retrofill.state import batches, pages
from retrofill.state.connection import Connection, connect
from retrofill.state.lease import BatchLease
from retrofill.state.settling import CALLS_KEPT

from stack.endpoint import Reply, Rule, ScriptedEndpoint, scripted_endpoint
from tests.integration.opened import enqueue, entries_of, item, open_run
from tests.integration.test_invoke import PLAIN, invoke, keys, planned, rules


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(PLAIN) as running:
        yield running


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def batches_of(conn: Connection, *, items: int, each: int) -> SetRef:
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"k{number:03}") for number in range(items)])
    batches.plan(conn, ref, 1, most_items=each, fewest_items=each)
    return ref


def fail(lease: BatchLease, outcome: str, cause: str = "") -> None:
    """Settle only a failed call of the first item."""
    call = Call.of(entries_of(lease)[:1])
    lease.settle(Settlement(), [call])
    keys_carried = [entry.item.key for entry in call.entries]
    ended = EndedCall(call.number, outcome, cause=cause, items=1, keys=keys_carried)
    lease.settle(Settlement(ended=[ended], retried=[(call.entries[0], 0.0)]), [])


def shown(conn: Connection, ref: SetRef) -> pages.Calls:
    return pages.get_page(conn, ref.run_id).calls


def test_the_last_failed_calls_are_the_newest_of_all_batches_and_outcomes(
    state_dsn: str, conn: Connection
) -> None:
    ref = batches_of(conn, items=8, each=4)
    ways = [("failed", "timed_out"), ("throttled", ""), ("failed", "unhandled"), ("unknown", "")]
    with (
        closing(BatchLease(state_dsn, 1, "a", TaskName("invoke", 0))) as one,
        closing(BatchLease(state_dsn, 2, "b", TaskName("invoke", 1))) as two,
    ):
        for lease in (one, two):
            assert lease.take(holder_is_dead=lambda _: True)
        for number in range(8 * CALLS_KEPT):
            fail((one, two)[number % 3 == 0], *ways[number % 4])
    found = shown(conn, ref).failed
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT batch_id, call_no FROM retrofill.v_call WHERE outcome <> 'succeeded'"
            " ORDER BY ended_at DESC LIMIT 10"
        )
        newest = cur.fetchall()
        cur.execute("SELECT max(cardinality(last_calls)) FROM retrofill.call_count")
        assert cur.fetchall() == [(CALLS_KEPT,)]
    assert [(call.batch_id, call.call_no) for call in found] == newest
    assert {call.keys[0] for call in found if call.keys} == {"k000", "k004"}
    assert {(call.task_id, call.map_index) for call in found} == {("invoke", 0), ("invoke", 1)}


def test_a_lost_call_is_listed_with_its_waiting_items_until_it_ends(
    state_dsn: str, conn: Connection
) -> None:
    ref = batches_of(conn, items=3, each=3)
    with closing(BatchLease(state_dsn, 1, "zombie")) as lost:
        assert lost.take(holder_is_dead=lambda _: True)
        call = Call.of(entries_of(lost)[:2])
        lost.settle(Settlement(), [call])
        with closing(BatchLease(state_dsn, 1, "next")) as lease:
            assert lease.take(holder_is_dead=lambda _: True)
            (found,) = shown(conn, ref).failed
            assert (found.outcome, found.keys) == ("lost", ["k000", "k001"])
            said = Settlement(
                ended=[EndedCall(call.number, "succeeded", items=2)],
                succeeded=[(span, call.number) for span in call.spans],
            )
            with pytest.raises(Exception, match="taken over"):
                lost.settle(said, [])
    assert shown(conn, ref).failed == []


def test_the_slowest_calls_survive_takeovers(state_dsn: str, conn: Connection) -> None:
    ref = batches_of(conn, items=6, each=3)
    for batch_id, ms in ((1, 900), (2, 500)):
        with closing(BatchLease(state_dsn, batch_id, "a")) as lease:
            assert lease.take(holder_is_dead=lambda _: True)
            calls = [Call.of([entry]) for entry in entries_of(lease)[:2]]
            lease.settle(Settlement(), calls)
            lease.allot(2, 2, slowest=[Slow(ms, 1), Slow(ms - 100, 2)])
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.invocation SET sent_at = now() - batch_id * interval '1 s'")
    assert len(shown(conn, ref).slowest) == 4
    with closing(BatchLease(state_dsn, 1, "b")) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        assert lease.slowest == [Slow(900, 1), Slow(800, 2)]
    found = shown(conn, ref).slowest
    assert {(call.batch_id, call.outcome) for call in found} == {(1, "lost"), (2, None)}


def test_forgotten_calls_are_not_shown(state_dsn: str, conn: Connection) -> None:
    ref = batches_of(conn, items=3, each=3)
    with closing(BatchLease(state_dsn, 1, "a")) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        fail(lease, "failed")
        lease.release(done=True, slowest=[Slow(5, 1)])
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.run SET status = 'incomplete', closed_at = now() - interval '9 days'"
        )
        cur.execute("UPDATE retrofill.batch SET done_at = now() - interval '9 days'")
    forget_calls(conn, job=None, days=1)
    calls = shown(conn, ref)
    assert (calls.failed, calls.slowest) == ([], [])
    assert sum(ended.calls for ended in calls.ended) == 1


def test_a_task_reports_its_slowest_calls_and_the_items_of_failed_ones(
    state_dsn: str, conn: Connection, server: ScriptedEndpoint
) -> None:
    failing = Rule(keys=frozenset({"k00003"}), reply=Reply(function_error="ValueError"))
    rules(server, failing, Rule(keys=frozenset({"k00030"}), reply=Reply(delay=0.4)))
    ref = planned(conn, keys(60))
    invoke(state_dsn, server, items_per_call=2)
    calls = shown(conn, ref)
    assert len(calls.slowest) == KEPT
    assert calls.slowest[0].took_s >= 0.4
    carried = {tuple(call.keys or ()) for call in calls.failed}
    assert carried == {("k00002", "k00003"), ("k00003",)}
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT count(*) FROM retrofill.v_call WHERE keys IS NULL AND outcome = 'failed'"
        )
        assert cur.fetchall() == [(0,)]
