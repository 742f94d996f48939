"""Redrive of successes, on a real Postgres: the right items, correctly and once."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from psycopg2.extensions import connection
from retrofill.faults import InjectedError, Point, injected
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.errors import LeaseLost
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.model.selection import Place, Selection
from retrofill.pipeline import approve
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.feedback import require_no_feedback
from retrofill.state import batches, feedback, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.screening import Chunk, get_partition, screen

from tests.integration.opened import close, item, keys_in, open_next_set, open_run, page
from tests.integration.test_approvals import ASKED, PLAN, config_of, reject
from tests.integration.test_batches import calls_of, dead
from tests.integration.test_enqueue import Pages
from tests.invariants import check, check_now

KEYS = [f"in/{number:02}" for number in range(10)]
NEW = ["in/10", "in/11"]
ALL = Selection(place=Place.SUCCESSES, key="*")
SUCCESSES = {"redrive": "successes", "redrive_key": "*"}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


class Listed(NamedTuple):
    """The result of a chunk."""

    new: int
    known: int
    set_is_full: bool
    redriven: int


def listed(
    conn: connection,
    ref: SetRef,
    keys: Sequence[str],
    selection: Selection | None = None,
    *,
    ordered: bool = True,
    done: bool = True,
    etag: str = "e",
) -> Listed:
    """Screen the items of some keys as the next chunk."""
    before = runs.get_report(conn, ref.run_id).redriven
    partition = get_partition(conn, ref.run_id, 0)
    chunk = Chunk(pages=[page([item(key, etag) for key in keys])], done=done)
    screened = screen(conn, ref, 0, partition, chunk, ordered=ordered, redriven=selection)
    return Listed(*screened, runs.get_report(conn, ref.run_id).redriven - before)


def succeed(dsn: str, conn: connection, ref: SetRef, version: str = "") -> list[Item]:
    """Let a set call all its items; return them."""
    called: list[Item] = []
    for batch in batches.plan(conn, ref, 1, most_items=100, fewest_items=100):
        with closing(BatchLease(dsn, batch.batch_id, "h")) as lease:
            lease.take(holder_is_dead=dead)
            calls = calls_of(lease)
            lease.settle(Settlement(), calls)
            called += [entry.item for call in calls for entry in call.entries]
            lease.settle(_success(calls, version), [])
            lease.release(done=True)
    return called


def _success(calls: Sequence[Call], version: str) -> Settlement:
    return Settlement(
        ended=[EndedCall(call.number, "succeeded", "r", version, items=1) for call in calls],
        succeeded=[(span, call.number) for call in calls for span in call.spans],
    )


def processed(dsn: str, conn: connection, *, ordered: bool = True) -> None:
    """Make a job with ten processed items, those at even places by version 7."""
    for number, (keys, version) in enumerate(((KEYS[0::2], "7"), (KEYS[1::2], "8"))):
        ref = open_run(conn, f"first {number}")
        listed(conn, ref, keys, ordered=ordered)
        succeed(dsn, conn, ref, version)
        close(conn, ref.run_id, complete=True)
    assert keys_in(conn, "results") == KEYS


def again(conn: connection, name: str = "again", **changed: Any) -> SetRef:
    return open_run(conn, name, config=SUCCESSES | changed.pop("config", {}), **changed)


@pytest.mark.parametrize("ordered", [True, False])
def test_exactly_the_selected_items_return_with_their_history(
    state_dsn: str, conn: connection, *, ordered: bool
) -> None:
    processed(state_dsn, conn, ordered=ordered)
    ref = again(conn)
    seven = Selection(place=Place.SUCCESSES, version="7", key="in/0[0-5]")
    assert listed(conn, ref, KEYS + NEW, seven, ordered=ordered) == (2, 10, False, 3)
    chosen = ["in/00", "in/02", "in/04"]
    assert keys_in(conn, "in_process") == sorted(chosen + NEW)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT attempts, run_id FROM retrofill.in_process ORDER BY 1")
        assert cur.fetchall() == [(0, ref.run_id), (1, ref.run_id)]
        cur.execute(
            "SELECT item_key, run_id, settled_by, attempts, settled_at IS NOT NULL, quarantined_by"
            " FROM retrofill.v_redriven ORDER BY item_key"
        )
        assert cur.fetchall() == [(key, ref.run_id, 1, 1, True, None) for key in chosen]
    called = succeed(state_dsn, conn, ref, "9")
    assert sorted(called) == sorted(item(key) for key in chosen + NEW), "with their content"
    assert keys_in(conn, "results") == KEYS + NEW
    report = runs.close_run(conn, ref.run_id)
    counts = (report.status, report.new, report.known, report.redriven, report.succeeded)
    assert counts == ("complete", 2, 10, 3, 5)
    assert "redriven    3 that had succeeded, of those known" in report.as_text({})
    executed = dict.fromkeys(KEYS + NEW, 1) | dict.fromkeys(chosen, 2)
    assert check(state_dsn, "job", executed=executed, succeeded=executed, poison=[]) == []


def test_a_selection_by_time_takes_successes_of_that_time(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT min(settled_at) FROM retrofill.results WHERE run_id = 2")
        ((second,),) = cur.fetchall()
    before = Selection(place=Place.SUCCESSES, before=second)
    assert listed(conn, again(conn), KEYS, before).redriven == 5
    assert keys_in(conn, "results") == KEYS[1::2]
    future = Selection(place=Place.SUCCESSES, after=datetime(2999, 1, 1, tzinfo=UTC))
    assert listed(conn, again(conn, "future"), KEYS, future).redriven == 0


def test_a_changed_item_is_new_and_its_old_version_stays(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    assert listed(conn, again(conn), KEYS[:1], ALL, etag="changed") == (1, 0, False, 0)
    assert keys_in(conn, "results") == KEYS


def test_items_settled_since_the_run_opened_are_not_redriven(
    state_dsn: str, conn: connection
) -> None:
    processed(state_dsn, conn)
    other = open_run(conn, "other")
    ref = again(conn)
    listed(conn, other, NEW)
    succeed(state_dsn, conn, other)
    assert listed(conn, ref, KEYS[:5], ALL, done=False).redriven == 5
    succeed(state_dsn, conn, ref)
    assert listed(conn, ref, KEYS + NEW, ALL) == (0, 7, False, 5), "earlier ones are not counted"
    assert keys_in(conn, "in_process") == KEYS[5:]
    with conn, conn.cursor() as cur:
        # Whatever the clock showed when they were settled.
        cur.execute(
            "UPDATE retrofill.results SET settled_at = now() - interval '1 day' WHERE run_id = %s",
            [ref.run_id],
        )
        cur.execute("UPDATE retrofill.partition SET done = false, recent = ''")
    assert listed(conn, ref, KEYS, ALL).redriven == 0


def test_a_set_takes_up_to_its_limit_and_the_next_continues(
    state_dsn: str, conn: connection
) -> None:
    processed(state_dsn, conn)
    ref = again(conn, max_items=4)
    taken, mixed = [], [*NEW[:1], *KEYS, *NEW[1:]]
    for number in range(3):
        screened = listed(conn, ref, mixed, ALL)
        taken.append((screened.new, screened.redriven, screened.set_is_full))
        succeed(state_dsn, conn, ref)
        assert runs.close_set(conn, ref).full
        if number < 2:
            ref = open_next_set(conn, ref, max_items=4)
    assert taken == [(1, 3, True), (0, 4, True), (1, 3, False)]
    report = runs.close_run(conn, ref.run_id)
    counts = (report.status, report.listed, report.new, report.redriven, report.succeeded)
    assert counts == ("complete", 12, 2, 10, 12)
    assert check_now(state_dsn, "job") == []


@pytest.mark.parametrize("point", [Point.CHUNK_COPIED, Point.CHUNK_COMMITTED])
@pytest.mark.parametrize("ordered", [True, False])
def test_an_interrupted_redrive_loses_no_item_and_repeats_none(
    state_dsn: str, conn: connection, point: Point, *, ordered: bool
) -> None:
    processed(state_dsn, conn, ordered=ordered)
    ref = again(conn)

    def act(reached: Point) -> None:
        if reached is point:
            raise InjectedError

    with injected(act), pytest.raises(InjectedError):
        listed(conn, ref, KEYS + NEW, ALL, ordered=ordered)
    moved = 0 if point is Point.CHUNK_COPIED else 10
    report = runs.get_report(conn, ref.run_id)
    assert (report.redriven, report.items_left) == (moved, moved + 2 * (moved > 0))
    assert check_now(state_dsn, "job") == []
    if not moved:
        assert keys_in(conn, "results") == KEYS
        assert listed(conn, ref, KEYS + NEW, ALL, ordered=ordered).redriven == 10
    else:
        with pytest.raises(LeaseLost):
            listed(conn, ref, KEYS + NEW, ALL, ordered=ordered)
    assert sorted(one.key for one in succeed(state_dsn, conn, ref)) == KEYS + NEW
    assert check_now(state_dsn, "job") == []


def test_two_concurrent_redrives_take_each_item_once(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    refs = [again(conn, name) for name in ("one", "two")]
    turn = threading.Barrier(2, timeout=60)
    taken = []

    def work(ref: SetRef) -> None:
        with closing(connect(state_dsn)) as own:
            turn.wait()
            for at in range(0, 10, 2):
                screened = listed(own, ref, KEYS[at : at + 2], ALL, done=at == 8)
                taken.append(screened.redriven)

    threads = [threading.Thread(target=work, args=(ref,)) for ref in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 10
    assert keys_in(conn, "in_process") == KEYS
    assert check_now(state_dsn, "job") == []


def test_without_a_selection_nothing_is_redriven(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    assert listed(conn, open_run(conn, "usual"), KEYS) == (0, 10, False, 0)
    assert keys_in(conn, "results") == KEYS


def test_unapproved_items_return_to_the_results_unchanged(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.results ORDER BY item_key")
        before = cur.fetchall()
    ref = again(conn, config=ASKED)
    listed(conn, ref, KEYS + NEW, ALL)
    batches.plan(conn, ref, 1, most_items=100, fewest_items=100)
    run = runs.get_run(conn, ref.run_id)
    approve.request_approval(conn, run, config_of(run), PLAN, "0")
    reject(conn, ref)
    assert (keys_in(conn, "in_process"), keys_in(conn, "redriven")) == ([], [])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.results ORDER BY item_key")
        assert cur.fetchall() == before
    report = runs.close_run(conn, ref.run_id)
    assert (report.redriven, report.withdrawn, report.items_left) == (0, 2, 0)
    assert check_now(state_dsn, "job") == []


def test_redriven_items_are_not_mistaken_for_outputs(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    ref = again(conn)
    listed(conn, ref, KEYS + NEW, ALL)
    run = runs.get_run(conn, ref.run_id)
    assert feedback.sample_untouched(conn, run, 100).of == len(NEW)
    require_no_feedback(conn, ref, run, config_of(run))


def test_enqueue_redrives_the_selected_items(state_dsn: str, conn: connection) -> None:
    processed(state_dsn, conn)
    ref = again(conn)
    source = Pages(page([item(key) for key in KEYS + NEW]))
    assert enqueue(conn, ref, 0, source, redriven=ALL) == {"listed": 12, "new": 2, "known": 10}
    assert keys_in(conn, "in_process") == KEYS + NEW
