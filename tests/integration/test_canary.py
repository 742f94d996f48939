"""The canary on a real Postgres: which items it takes, and that it affects no others."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.aws.objects import measure, pack
from retrofill.faults import InjectedError, Point, injected
from retrofill.model.calls import Settlement
from retrofill.model.items import Item, Measure
from retrofill.model.runs import SetRef
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.sources.kind import content_measure
from retrofill.state import batches, canary, others, runs
from retrofill.state.batches import PlannedBatch
from retrofill.state.connection import connect

from tests.integration.opened import (
    ALL_LIVE,
    CONFIG,
    MOMENT,
    close,
    enqueue,
    entries_of,
    item,
    keys_in,
    open_job,
    open_run,
)
from tests.integration.test_batches import calls_of, success, taken
from tests.invariants import check_now


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def keys(count: int) -> list[str]:
    return [f"k{number:06}" for number in range(count)]


def items(count: int) -> list[Item]:
    return [item(key) for key in keys(count)]


def sized(key: str, size: int) -> Item:
    made = item(key)
    return Item(made.identifier, key, pack(size, MOMENT, "e", ""))


def choose(
    conn: connection, ref: SetRef, take: int, measured: Any = measure
) -> PlannedBatch | None:
    return canary.choose_canary(
        conn,
        ref,
        open_job(conn),
        take=take,
        measure=measured,
        rng=Random(1),  # noqa: S311
    )


def plan(conn: connection, ref: SetRef, most: int = 100) -> list[int]:
    job_id = open_job(conn)
    return [
        batch.items for batch in batches.plan(conn, ref, job_id, most_items=most, fewest_items=most)
    ]


def read(conn: connection, statement: str, *values: object) -> list[Any]:
    with conn, conn.cursor() as cur:
        cur.execute(statement, values)
        return cur.fetchall()


def owners(conn: connection) -> list[int]:
    """Return in how many open batches each item in process is, by number."""
    return [
        count
        for (count,) in read(
            conn,
            "SELECT (SELECT count(*) FROM retrofill.batch WHERE done_at IS NULL"
            " AND seq BETWEEN first_seq AND last_seq) FROM retrofill.in_process ORDER BY seq",
        )
    ]


def uncovered(conn: connection) -> list[str]:
    """Return the keys of items that no extent covers, so that screening would miss them."""
    return [
        key
        for (key,) in read(
            conn,
            "SELECT item_key FROM retrofill.in_process AS item WHERE NOT EXISTS ("
            " SELECT FROM retrofill.extent WHERE extent.job_id = item.job_id"
            " AND item.seq BETWEEN first_seq AND last_seq"
            " AND item.item_key BETWEEN first_key AND last_key)",
        )
    ]


def keys_of(conn: connection, batch_id: int) -> list[str]:
    return [
        key
        for (key,) in read(
            conn,
            "SELECT item_key FROM retrofill.in_process JOIN retrofill.batch USING (job_id)"
            " WHERE batch_id = %s AND seq BETWEEN first_seq AND last_seq ORDER BY seq",
            batch_id,
        )
    ]


def test_the_canary_is_a_batch_of_its_own_and_every_item_is_in_one(
    state_dsn: str, conn: connection
) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items(1_000))
    chosen = choose(conn, ref, 60)
    assert chosen is not None
    assert chosen.items == 60
    assert plan(conn, ref, 300) == [300, 300, 300, 40]
    assert owners(conn) == [1] * 1_000
    assert keys_in(conn, "in_process") == keys(1_000)
    of_canary = keys_of(conn, chosen.batch_id)
    assert of_canary == sorted(of_canary), "in the order of the source"
    assert uncovered(conn) == []
    assert check_now(state_dsn, "job") == []
    ((sizes, first, last),) = read(
        conn, "SELECT sizes, first_seq, last_seq FROM retrofill.batch WHERE canary"
    )
    assert (sizes, first, last) == ([10] * 60, 1_001, 1_060)
    assert read(conn, "SELECT next_seq FROM retrofill.job") == [(1_061,)]
    assert runs.get_report(conn, ref.run_id).items_left == 1_000


def test_content_sizes_and_age_travel_with_the_items(conn: connection) -> None:
    ref = open_run(conn)
    rows = [Item(item(key).identifier, key, json.dumps({"n": key, "é": "x" * at}))
            for at, key in enumerate(keys(50))]  # fmt: skip
    enqueue(conn, ref, rows)
    chosen = choose(conn, ref, 7, content_measure)
    assert chosen is not None
    contents = {one.key: one.content for one in rows}
    found = read(conn, "SELECT item_key, content FROM retrofill.in_process ORDER BY seq")
    assert dict(found) == contents
    ((sizes,),) = read(conn, "SELECT sizes FROM retrofill.batch WHERE canary")
    assert sizes == [len(contents[key].encode()) for key in keys_of(conn, chosen.batch_id)]


def test_large_items_are_represented_in_proportion(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(
        conn, ref, [sized(key, 10**9 if at % 50 == 49 else 10) for at, key in enumerate(keys(900))]
    )
    choose(conn, ref, 150)
    ((sizes,),) = read(conn, "SELECT sizes FROM retrofill.batch WHERE canary")
    # 18 of 900 are large: one of the 50 chosen by size, and about two of the others.
    assert 1 <= sizes.count(10**9) <= 7


@pytest.mark.parametrize("measured", [None, lambda _: Measure(None, None)])
def test_a_source_without_sizes_has_a_canary(conn: connection, measured: Any) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items(100))
    chosen = choose(conn, ref, 10, measured)
    assert chosen is not None
    assert read(conn, "SELECT sizes FROM retrofill.batch WHERE canary") == [([None] * 10,)]
    spots = [int(key[1:]) // 10 for key in keys_of(conn, chosen.batch_id)]
    assert spots == list(range(10)), "evenly along the keys"


@pytest.mark.parametrize(("count", "take", "planned"), [(5, 5, []), (5, 200, []), (0, 5, [])])
def test_if_there_are_few_items_the_canary_takes_all(
    conn: connection, count: int, take: int, planned: list[int]
) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items(count))
    chosen = choose(conn, ref, take)
    assert (chosen.items if chosen else 0) == count
    assert plan(conn, ref) == planned
    assert owners(conn) == [1] * count


def test_a_canary_may_be_larger_than_a_batch_and_than_an_extent(conn: connection) -> None:
    ref = open_run(conn)
    for at in range(0, 26_000, 13_000):
        enqueue(conn, ref, items(26_000)[at : at + 13_000], done=at > 0)
    chosen = choose(conn, ref, 10_000)
    assert chosen is not None
    assert plan(conn, ref, 4_000) == [4_000] * 4
    assert owners(conn) == [1] * 26_000
    assert uncovered(conn) == []


def test_a_sample_of_many_items_reads_only_as_many_as_needed(
    conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(one: Item) -> Measure:
        looked.append(one.key)
        return measure(one)

    monkeypatch.setattr(canary, "POOL_ITEMS", 200)
    monkeypatch.setattr(canary, "_LOOK_ITEMS", 30)
    ref = open_run(conn)
    enqueue(conn, ref, items(5_000))
    chosen = choose(conn, ref, 40, look)
    assert chosen is not None
    assert chosen.items == 40
    assert len(looked) == 200
    assert [int(key[1:]) // 25 for key in looked] == list(range(200)), "evenly apart"


@pytest.mark.parametrize("point", [Point.CANARY_MOVED, Point.CANARY_CHOSEN, Point.BATCHES_PLANNED])
def test_a_canary_is_chosen_once_wherever_its_task_fails(
    state_dsn: str, conn: connection, point: Point
) -> None:
    ref = open_run(conn, config={"canary": 20})
    enqueue(conn, ref, items(500))

    def fail(at: Point) -> None:
        if at is point:
            raise InjectedError

    with injected(fail), pytest.raises(InjectedError):
        plan_batches(conn, ref, ALL_LIVE)
    before = canary.find_canary(conn, ref.run_id)
    assert (before is None) == (point is Point.CANARY_MOVED)
    for _ in range(2):
        assert len(plan_batches(conn, ref, ALL_LIVE)) == 2
        chosen = canary.find_canary(conn, ref.run_id)
        assert chosen is not None
        assert chosen.items == 20
        assert before in {None, chosen}
        assert read(conn, "SELECT next_seq FROM retrofill.job") == [(521,)]
        assert owners(conn) == [1] * 500
        assert keys_in(conn, "in_process") == keys(500)
        assert check_now(state_dsn, "job") == []


def test_only_the_first_set_has_a_canary(conn: connection) -> None:
    ref = open_run(conn, max_items=50, config={"canary": 5})
    enqueue(conn, ref, items(80), done=False)
    plan_batches(conn, ref, ALL_LIVE)
    first = canary.find_canary(conn, ref.run_id)
    following = runs.open_next_set(conn, ref)
    enqueue(conn, following, items(80)[50:])
    plan_batches(conn, following, ALL_LIVE)
    assert canary.find_canary(conn, ref.run_id) == first
    assert owners(conn) == [1] * 80


def test_moved_items_are_still_known(conn: connection) -> None:
    ref = open_run(conn, partitions=2)
    enqueue(conn, ref, items(300))
    choose(conn, ref, 30)
    assert enqueue(conn, ref, items(300), 1) == (0, 300, False)


def test_moved_items_of_an_unordered_job_are_still_known(conn: connection) -> None:
    ref = open_run(conn, partitions=2)
    enqueue(conn, ref, items(300), ordered=False)
    choose(conn, ref, 30)
    assert enqueue(conn, ref, items(300)[::-1], 1, ordered=False) == (0, 300, False)
    plan(conn, ref)
    assert owners(conn) == [1] * 300


def test_items_left_by_another_run_may_be_chosen_and_count_as_resumed(
    state_dsn: str, conn: connection
) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, items(90))
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    enqueue(conn, second, [item(f"x{number}") for number in range(30)])
    chosen = choose(conn, second, 60)
    assert chosen is not None
    plan(conn, second)
    report = runs.get_report(conn, second.run_id)
    assert (report.new, report.resumed, report.items_left) == (30, 90, 120)
    assert owners(conn) == [1] * 120
    assert uncovered(conn) == []
    assert check_now(state_dsn, "job") == []
    of_canary = keys_of(conn, chosen.batch_id)
    assert {key[0] for key in of_canary} == {"k", "x"}


def test_items_with_a_history_keep_their_numbers(state_dsn: str, conn: connection) -> None:
    """A late response finds its items by number."""
    first = open_run(conn, "first")
    enqueue(conn, first, items(40))
    plan(conn, first)
    lease = taken(state_dsn)
    calls = calls_of(lease)
    lease.settle(Settlement(), calls[:10])
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    chosen = choose(conn, second, 40)
    assert chosen is not None
    assert keys_of(conn, chosen.batch_id) == keys(40)[10:]
    plan(conn, second)
    assert owners(conn) == [1] * 40
    with pytest.raises(Exception, match="taken over"), closing(lease):
        lease.settle(success(*calls[:10]), [])
    assert keys_in(conn, "results") == keys(10)
    assert check_now(state_dsn, "job") == []


def test_items_that_another_open_run_waits_for_are_not_moved(conn: connection) -> None:
    first, second = open_run(conn, "first"), open_run(conn, "second")
    enqueue(conn, first, items(20))
    enqueue(conn, second, items(10))
    close(conn, first.run_id, complete=False)
    third = open_run(conn, "third")
    chosen = choose(conn, third, 20)
    assert chosen is not None
    assert keys_of(conn, chosen.batch_id) == keys(20)[10:]
    plan(conn, third)
    assert [(other.run_id, other.items) for other in others.look(conn, second.run_id)] == [
        (third.run_id, 10)
    ]


def test_items_of_another_run_are_not_chosen(conn: connection) -> None:
    first, second = open_run(conn, "first"), open_run(conn, "second")
    enqueue(conn, first, items(20))
    enqueue(conn, second, [item("x")])
    chosen = choose(conn, second, 20)
    assert chosen is not None
    assert keys_of(conn, chosen.batch_id) == ["x"]


def test_items_left_of_a_canary_are_resumed(state_dsn: str, conn: connection) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, items(50))
    chosen = choose(conn, first, 20)
    assert chosen is not None
    plan(conn, first)
    with closing(taken(state_dsn, batch_id=chosen.batch_id)) as lease:
        calls = calls_of(lease)[:5]
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
        lease.release(done=False)
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    assert plan(conn, second, 1_000) == [45]
    assert owners(conn) == [1] * 45
    assert runs.get_report(conn, second.run_id).resumed == 45
    assert check_now(state_dsn, "job") == []


def test_a_run_with_batches_gets_no_canary(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items(10))
    plan(conn, ref)
    assert choose(conn, ref, 5) is None
    assert owners(conn) == [1] * 10


def history(entries: Sequence[Any]) -> list[int]:
    return [entry.attempts for entry in entries]


def test_the_items_of_a_canary_start_without_a_history(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, items(10))
    chosen = choose(conn, ref, 4)
    assert chosen is not None
    with closing(taken(state_dsn, batch_id=chosen.batch_id)) as lease:
        assert history(entries_of(lease)) == [0] * 4
    assert CONFIG["canary"] is None


def test_items_that_a_closed_run_waits_for_are_not_moved(
    conn: connection,
) -> None:
    first, second = open_run(conn, "first"), open_run(conn, "second")
    enqueue(conn, first, items(20))
    enqueue(conn, second, items(10))
    for ref in (first, second):
        close(conn, ref.run_id, complete=False)
    third = open_run(conn, "third")
    chosen = choose(conn, third, 20)
    assert chosen is not None
    plan(conn, third)
    runs.reopen(conn, second.run_id)
    assert [(other.run_id, other.items) for other in others.look(conn, second.run_id)] == [
        (third.run_id, 10)
    ]
