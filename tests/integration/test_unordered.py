"""Screening of an unordered source: known items are found by identifier, in any run."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection
from retrofill.model.calls import Settlement
from retrofill.model.items import Item
from retrofill.model.selection import Selection
from retrofill.pipeline.enqueue import enqueue as read
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.state import others, redrive, runs
from retrofill.state.connection import connect
from retrofill.state.screening import get_partition

from tests.integration.opened import ALL_LIVE, close, enqueue, item, keys_in, open_run
from tests.integration.test_batches import calls_of, success, taken
from tests.integration.test_counts import Listed, Listing
from tests.integration.test_redrive import poison


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def items(keys: Sequence[str]) -> list[Item]:
    return [item(key) for key in keys]


def list_again(conn: connection, dag_run_id: str, keys: str, *, ordered: bool) -> int:
    """List keys as another run of the job; return how many are new."""
    ref = open_run(conn, dag_run_id)
    return enqueue(conn, ref, items(keys), ordered=ordered).new


def settle(dsn: str, batch_id: int, *, bad: str) -> None:
    """Settle a batch: items with a bad key are poison, the rest succeed."""
    with closing(taken(dsn, batch_id=batch_id)) as lease:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        good = [call for call in calls if call.entries[0].item.key not in bad]
        refused = [poison(call) for call in calls if call not in good]
        lease.settle(Settlement(ended=[], quarantined=refused), [])
        lease.settle(success(*good), [])
        lease.release(done=True)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_waiting_items_are_known_whichever_run_listed_them(
    conn: connection, *, first: bool, second: bool
) -> None:
    assert list_again(conn, "first", "dacb", ordered=first) == 4
    assert list_again(conn, "second", "zbay", ordered=second) == 2
    assert list_again(conn, "third", "xcdzw", ordered=not second) == 2
    assert keys_in(conn, "in_process") == [*"abcdwxyz"]


def test_an_unordered_listing_makes_a_job_unordered_permanently(conn: connection) -> None:
    list_again(conn, "first", "ab", ordered=True)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT unordered, count(*) FROM retrofill.in_process GROUP BY 1")
        assert cur.fetchall() == [(False, 2)]
    list_again(conn, "second", "c", ordered=False)
    list_again(conn, "third", "d", ordered=True)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT unordered, count(*) FROM retrofill.in_process GROUP BY 1")
        assert cur.fetchall() == [(True, 4)]


def test_results_and_quarantine_are_known_and_a_changed_item_is_not(
    state_dsn: str, conn: connection
) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items("dacb"), ordered=False)
    plan_batches(conn, ref, ALL_LIVE)
    settle(state_dsn, 1, bad="b")
    assert (keys_in(conn, "results"), keys_in(conn, "quarantine")) == ([*"acd"], ["b"])
    again = open_run(conn, "again")
    listed = [*items("eba"), item("a", "changed"), *items("cd")]
    assert enqueue(conn, again, listed, ordered=False)[:2] == (2, 4)


def test_redriven_items_are_known(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items("ba"), ordered=False)
    plan_batches(conn, ref, ALL_LIVE)
    settle(state_dsn, 1, bad="ab")
    back = open_run(conn, "back")
    partition = get_partition(conn, back.run_id, 0)
    moved = redrive.redrive(
        conn, back, 0, partition, after=redrive.Position.of(None), selection=Selection()
    )
    assert moved.moved == 2
    assert list_again(conn, "third", "cab", ordered=False) == 1


def test_items_of_another_run_are_noted(conn: connection) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, items("cab"), ordered=False)
    second = open_run(conn, "second")
    enqueue(conn, second, [*items("xb"), *items("bc")], ordered=False)
    assert [(other.run_id, other.items) for other in others.look(conn, second.run_id)] == [
        (first.run_id, 2)
    ]


def test_items_of_another_run_are_noted_once_however_often_they_are_listed(
    conn: connection,
) -> None:
    enqueue(conn, open_run(conn, "first"), items("abcd"), ordered=False)
    second = open_run(conn, "second")
    enqueue(conn, second, items("aabd"), ordered=False)
    with conn.cursor() as cur:
        cur.execute("SELECT items::text FROM retrofill.elsewhere")
        assert cur.fetchall() == [("{[1,3),[4,5)}",)]


def test_a_job_does_not_know_the_items_of_another(conn: connection) -> None:
    list_again(conn, "first", "ab", ordered=False)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.job SET name = 'other' WHERE name = 'job'")
    assert list_again(conn, "second", "ba", ordered=False) == 2


class Unordered(Listing):
    """A listing that does not promise ascending keys, and whose keys are unsorted."""

    ordered = False


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.permutations([f"{number:02}" for number in range(30)]),
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    rooms=st.lists(st.integers(1, 9), min_size=40, max_size=40),
    before=st.integers(0, 30),
    ordered_before=st.booleans(),
)
def test_every_item_enters_once_wherever_sets_end(
    conn: connection,
    *,
    keys: list[str],
    sizes: list[int],
    rooms: list[int],
    before: int,
    ordered_before: bool,
) -> None:
    with conn, conn.cursor() as cur:
        cur.execute("TRUNCATE retrofill.job, retrofill.in_process CASCADE")
    if before:
        ref = open_run(conn, "before")
        enqueue(conn, ref, items(sorted(keys)[:before]), ordered=ordered_before)
    pages, at = [], 0
    for size in [*sizes, len(keys)]:
        pages.append(Listed(items(keys[at : at + size]), (1, 0, 0)))
        at += size
    ref = open_run(conn, "unordered", max_items=rooms[0])
    for room in rooms[1:]:
        read(conn, ref, 0, Unordered([pages]))
        if get_partition(conn, ref.run_id, 0).done:
            break
        following = runs.open_next_set(conn, ref)
        with conn, conn.cursor() as cur:
            cur.execute(
                "UPDATE retrofill.run_set SET max_items = %s WHERE run_id = %s AND set_no = %s",
                (room, *following),
            )
        ref = following
    report = runs.get_report(conn, ref.run_id)
    assert (report.listed, report.new, report.partitions_left) == (30, 30 - before, 0)
    assert report.left_out == {"filtered": len(pages)}
    assert keys_in(conn, "in_process") == sorted(keys)


@pytest.mark.parametrize("ordered_first", [False, True])
def test_items_left_by_one_kind_of_listing_are_taken_over_by_the_other(
    state_dsn: str, conn: connection, *, ordered_first: bool
) -> None:
    """Like a listing after a manifest whose run ended before its calls, and during one."""
    ended, parallel = open_run(conn, "ended"), open_run(conn, "parallel")
    enqueue(conn, ended, items("abdf" if ordered_first else "fdba"), ordered=ordered_first)
    enqueue(conn, parallel, items("zc"), ordered=False)
    plan_batches(conn, parallel, ALL_LIVE)
    close(conn, ended.run_id, complete=False)
    last = open_run(conn, "last")
    listed = items("abcdefz" if not ordered_first else "zfedcba")
    assert enqueue(conn, last, listed, ordered=not ordered_first)[:2] == (1, 6)
    plan_batches(conn, last, ALL_LIVE)
    report = runs.get_report(conn, last.run_id)
    assert (report.new, report.known, report.resumed, report.items_left) == (1, 6, 4, 5)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT batch_id, run_id FROM retrofill.batch ORDER BY batch_id")
        planned = cur.fetchall()
    for batch_id, _ in planned:
        settle(state_dsn, batch_id, bad="d")
    assert keys_in(conn, "results") == [*"abcefz"]
    assert keys_in(conn, "quarantine") == ["d"]
    counts = {
        ref.run_id: (one.succeeded, one.quarantined, one.items_left)
        for ref in (parallel, last)
        for one in [runs.get_report(conn, ref.run_id)]
    }
    assert counts == {parallel.run_id: (2, 0, 0), last.run_id: (4, 1, 0)}
