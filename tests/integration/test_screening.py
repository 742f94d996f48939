"""Screening on a real Postgres: new and known items, and the races between them."""

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection
from retrofill.model.errors import ConfigError, LeaseLost
from retrofill.model.runs import Job
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.state.screening import Chunk, get_partition, screen

from tests.integration.opened import enqueue, item, keys_in, open_next_set, open_run, page

MOVE_TO_RESULTS = """
WITH done AS (DELETE FROM retrofill.in_process RETURNING *)
INSERT INTO retrofill.results
SELECT job_id, item_key, identifier, run_id, 1, 1, 1, clock_timestamp() FROM done
"""


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def test_new_items_are_enqueued_and_known_ones_are_not(conn: connection) -> None:
    ref = open_run(conn, partitions=2)
    assert enqueue(conn, ref, [item("a"), item("b")]) == (2, 0, False)
    assert enqueue(conn, ref, [item("a"), item("b"), item("c")], part_no=1) == (1, 2, False)
    assert keys_in(conn, "in_process") == ["a", "b", "c"]


def test_processed_items_are_known_and_a_changed_one_is_new(conn: connection) -> None:
    enqueue(conn, open_run(conn), [item("a"), item("b")])
    with conn, conn.cursor() as cur:
        cur.execute(MOVE_TO_RESULTS)
    ref = open_run(conn, "second")
    assert enqueue(conn, ref, [item("a"), item("b", "changed")]) == (1, 1, False)
    assert keys_in(conn, "in_process") == ["b"]


def test_an_item_listed_twice_is_counted_once(conn: connection) -> None:
    ref = open_run(conn)
    assert enqueue(conn, ref, [item("a"), item("a")]) == (1, 0, False)


def test_a_full_set_cuts_a_page_and_the_next_set_lists_it_again(conn: connection) -> None:
    ref = open_run(conn, max_items=3)
    items = [item(key) for key in "abcde"]
    assert enqueue(conn, ref, items) == (3, 0, True)
    partition = get_partition(conn, ref.run_id, 0)
    assert (partition.cursor, partition.done) == (None, False)
    following = open_next_set(conn, ref, max_items=3)
    assert enqueue(conn, following, items) == (2, 0, False)
    report = runs.get_report(conn, ref.run_id)
    assert (report.listed, report.new, report.sets, report.partitions_left) == (5, 5, 2, 0)


def test_a_set_without_room_takes_nothing_and_keeps_the_cursor(conn: connection) -> None:
    ref = open_run(conn, max_items=2, partitions=2)
    enqueue(conn, ref, [item("a"), item("b")])
    assert enqueue(conn, ref, [item("x")], part_no=1) == (0, 0, True)
    assert get_partition(conn, ref.run_id, 1).cursor is None


def test_a_partition_read_by_two_tasks_counts_each_chunk_once(conn: connection) -> None:
    ref = open_run(conn)
    stale = get_partition(conn, ref.run_id, 0)
    chunk = Chunk(pages=[page([item("a")])], done=False)
    screen(conn, ref, 0, stale, chunk)
    with pytest.raises(LeaseLost):
        screen(conn, ref, 0, stale, chunk)
    assert runs.get_report(conn, ref.run_id).listed == 1


def test_a_chunk_waits_for_the_other_run_of_its_job(state_dsn: str, conn: connection) -> None:
    """Two runs screen the same new items at once; the first holds a lock meanwhile."""
    first, second = open_run(conn, "one"), open_run(conn, "two")
    items = [item("a"), item("b")]
    outcome: list[tuple[int, int, bool]] = []

    def other() -> None:
        with closing(connect(state_dsn)) as theirs:
            outcome.append(enqueue(theirs, second, items))

    with closing(connect(state_dsn)) as holder, holder.cursor() as cur:
        cur.execute("SELECT FROM retrofill.job FOR NO KEY UPDATE")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "screening must wait for the job's lock"
        cur.execute(
            "INSERT INTO retrofill.in_process VALUES (1, 900, %s, %s, 'a', 'e')",
            (first.run_id, items[0].identifier.hex()),
        )
        holder.commit()
        thread.join()
    assert outcome == [(1, 1, False)]
    assert keys_in(conn, "in_process") == ["a", "b"]


def test_an_item_settled_during_the_chunk_is_known(state_dsn: str, conn: connection) -> None:
    """The race of two-table screening: in process at the start, in results at the end."""
    enqueue(conn, open_run(conn), [item("a")])
    ref = open_run(conn, "second")
    outcome: list[tuple[int, int, bool]] = []

    def other() -> None:
        with closing(connect(state_dsn)) as theirs:
            outcome.append(enqueue(theirs, ref, [item("a")]))

    with closing(connect(state_dsn)) as settler, settler.cursor() as cur:
        cur.execute(MOVE_TO_RESULTS)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        settler.commit()
        thread.join()
    assert outcome == [(0, 1, False)]
    assert (keys_in(conn, "in_process"), keys_in(conn, "results")) == ([], ["a"])


def test_items_that_any_statement_adds_are_known(conn: connection) -> None:
    """Like a redrive or manual SQL, which add items without knowledge of extents."""
    known = "zcamkyb"
    ref = open_run(conn, partitions=len(known))
    items = [item(key) for key in known[:5]]
    with conn, conn.cursor() as cur:
        cur.execute(
            "INSERT INTO retrofill.in_process SELECT 1, seq, 1, identifier, key, 'e'"
            " FROM unnest(%s::bigint[], %s::uuid[], %s::text[]) AS added (seq, identifier, key)",
            (
                [103, 9_999, 10_000, 25_000, 70_000],
                [one.identifier.hex() for one in items],
                [one.key for one in items],
            ),
        )
        cur.execute(
            "INSERT INTO retrofill.in_process SELECT 1, seq, 1, identifier, key, 'e'"
            " FROM unnest(%s::bigint[], %s::uuid[], %s::text[]) AS added (seq, identifier, key)",
            ([104, 25_001], [item(key).identifier.hex() for key in "yb"], ["y", "b"]),
        )
    for part_no, key in enumerate(known):
        assert enqueue(conn, ref, [item(key)], part_no) == (0, 1, False), key


ADD = """
INSERT INTO retrofill.in_process
SELECT 1, seq, run_id, gen_random_uuid(), key, 'e'
FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS added (seq, run_id, key)
"""


def test_an_extent_has_no_holes_and_one_run(conn: connection) -> None:
    open_run(conn)
    with conn, conn.cursor() as cur:
        # Out of order, with holes, of several runs, and across a multiple of ten thousand.
        numbers = [9_999, 2, 1, 10_000, 5, 3, 4, 10_001]
        cur.execute(ADD, (numbers, [1, 1, 1, 1, 1, 2, 2, 1], list("hbagedci")))
        cur.execute(
            "SELECT first_seq, last_seq, run_id, first_key, last_key, whole FROM retrofill.extent"
            " ORDER BY first_seq"
        )
        assert cur.fetchall() == [
            (1, 2, 1, "a", "b", True),
            (3, 4, 2, "c", "d", True),
            (5, 5, 1, "e", "e", True),
            (9_999, 9_999, 1, "h", "h", True),
            (10_000, 10_001, 1, "g", "i", True),
        ]


def test_a_number_is_never_reused(conn: connection) -> None:
    """And an extent's items are in no other extent: otherwise they would be planned twice."""
    open_run(conn)
    with conn, conn.cursor() as cur:
        cur.execute(ADD, ([1, 2, 3], [1, 1, 1], list("abc")))
        cur.execute("DELETE FROM retrofill.in_process WHERE seq = 2")
    with pytest.raises(psycopg2.errors.ExclusionViolation, match="extents_do_not_overlap"), conn:
        conn.cursor().execute(ADD, ([2], [1], ["d"]))


def test_neighbours_by_key_need_not_be_neighbours_by_number(conn: connection) -> None:
    """Chunks of other keys and other jobs come between those of neighbouring keys."""
    first = open_run(conn, partitions=3)
    enqueue(conn, first, [item(key) for key in "adg"])
    enqueue(conn, first, [item(key) for key in "xyz"], part_no=1)
    enqueue(conn, first, [item(key) for key in "beh"], part_no=2)
    second = open_run(conn, "second")
    assert enqueue(conn, second, [item(key) for key in "abcdefgh"]) == (2, 6, False)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keys=st.sets(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)))
def test_every_key_is_read_back_unchanged(conn: connection, keys: set[str]) -> None:
    with conn, conn.cursor() as cur:
        cur.execute("TRUNCATE retrofill.in_process, retrofill.run CASCADE")
    ref = open_run(conn, "again")
    enqueue(conn, ref, [item(key) for key in sorted(keys)])
    assert set(keys_in(conn, "in_process")) == keys
    ref = open_run(conn, "once more")
    assert enqueue(conn, ref, [item(key) for key in sorted(keys)]) == (0, len(keys), False)


def test_a_jobs_name_is_not_reused_for_another_source(conn: connection) -> None:
    open_run(conn)
    with pytest.raises(ConfigError, match="'job' was made for s3://bucket → f"):
        runs.remember_job(conn, Job("job", "0" * 32, "s3://other", "f", "s3"))
