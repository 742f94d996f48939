"""Reading a partition on a real Postgres: chunks read ahead, and what an interruption leaves."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.faults import InjectedError, Point, armed, injected
from retrofill.model.errors import LeaseLost, RunIncomplete, SourceError
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.pipeline import enqueue as enqueueing
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import CHUNK_ITEMS, enqueue
from retrofill.sources import Page, Partition
from retrofill.sources.memory import MemorySource
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.state.limits import stop
from retrofill.state.screening import get_partition

from tests.integration.opened import ALL_LIVE, item, open_next_set, open_run
from tests.plain_source import PlainSource

SOON_S = 60
"""Enough for any expected event on the slowest machine."""


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


class Chunks(MemorySource):
    """A source of pages, each of which is a chunk.

    :param asked: called with the number of a page, from 1, before it is made
    """

    def __init__(self, pages: int, asked: Callable[[int], None] = lambda _: None) -> None:
        def make(number: int) -> Item:
            if number % CHUNK_ITEMS == 0:
                asked(number // CHUNK_ITEMS + 1)
            return item(f"{number:08}")

        super().__init__(make, pages * CHUNK_ITEMS, name="s3://bucket", page_items=CHUNK_ITEMS)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        del partition
        return super().pages(self.partitions(1)[0], cursor)


def counts(conn: connection, ref: SetRef) -> tuple[int, int, int, int]:
    """Return the counts of listed, new, stored and distinct items."""
    report = runs.get_report(conn, ref.run_id)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*), count(DISTINCT item_key) FROM retrofill.in_process")
        ((items, keys),) = cur.fetchall()
    return report.listed, report.new, items, keys


def test_exactly_one_chunk_is_read_ahead(conn: connection) -> None:
    committed = 0
    asked: dict[int, int] = {}
    third = threading.Event()
    second = threading.Event()

    def note_page(number: int) -> None:
        asked[number] = committed
        {2: second, 3: third}.get(number, threading.Event()).set()

    def note_commit(point: Point) -> None:
        nonlocal committed
        if point == Point.CHUNK_COPIED and not committed:
            assert second.wait(SOON_S), "the next chunk must be read meanwhile"
            assert not third.wait(0.3), "at most one may be"
        committed += point == Point.CHUNK_COMMITTED

    ref = open_run(conn)
    with injected(note_commit):
        done = enqueue(conn, ref, 0, Chunks(5, note_page))
    assert done == {"listed": 5 * CHUNK_ITEMS, "new": 5 * CHUNK_ITEMS, "known": 0}
    assert all(before >= number - 2 for number, before in asked.items()), asked
    assert get_partition(conn, ref.run_id, 0).done


@pytest.mark.parametrize("point", ["chunk.copied:1", "chunk.committed:1", "chunk.copied:2"])
def test_after_a_crash_listing_continues_at_the_cursor(conn: connection, point: str) -> None:
    ref = open_run(conn)
    with injected(armed(f"{point}:raise")), pytest.raises(InjectedError):
        enqueue(conn, ref, 0, Chunks(3))
    kept = point != "chunk.copied:1"
    assert counts(conn, ref) == (kept * CHUNK_ITEMS,) * 4
    done = enqueue(conn, ref, 0, Chunks(3))
    assert done["known"] == 0
    assert counts(conn, ref) == (3 * CHUNK_ITEMS,) * 4
    assert get_partition(conn, ref.run_id, 0).done


def test_a_task_that_was_overtaken_screens_nothing(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn)
    pages: list[int] = []
    overtaken = threading.Event()

    def overtake(point: Point) -> None:
        if point == Point.CHUNK_COMMITTED and not overtaken.is_set():
            overtaken.set()
            with closing(connect(state_dsn)) as theirs:
                enqueue(theirs, ref, 0, Chunks(6))

    with injected(overtake), pytest.raises(LeaseLost):
        enqueue(conn, ref, 0, Chunks(6, pages.append))
    # The refused chunk, and the one read meanwhile.
    assert set(pages) <= {1, 2, 3}
    assert counts(conn, ref) == (6 * CHUNK_ITEMS,) * 4


def test_items_screened_before_the_source_failed_stay(conn: connection) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise SourceError("the bucket could not be listed")

    ref = open_run(conn)
    with pytest.raises(SourceError):
        enqueue(conn, ref, 0, Chunks(4, fail))
    assert counts(conn, ref) == (2 * CHUNK_ITEMS,) * 4
    enqueue(conn, ref, 0, Chunks(4))
    assert counts(conn, ref) == (4 * CHUNK_ITEMS,) * 4


STOPPED = "UPDATE retrofill.run SET stop_reason = 'for the night'"
LATER = """limits = limits || '{"max_minutes": 60}'"""
LATE = "UPDATE retrofill.run SET opened_at = now() - interval '5 min'"


@pytest.mark.parametrize(
    ("event", "repair", "said"),
    [
        (STOPPED, "stop_reason = NULL", "for the night"),
        (
            LATE,
            f"stop_reason = NULL, {LATER}",
            "max_minutes: 5 minutes have passed",
        ),
    ],
)
def test_a_stopped_or_late_run_stops_listing_and_is_incomplete(
    state_dsn: str, conn: connection, event: str, repair: str, said: str
) -> None:
    pages: list[int] = []

    def strike(number: int) -> None:
        pages.append(number)
        if number == 2:
            with closing(connect(state_dsn)) as other, other, other.cursor() as cur:
                cur.execute(event)

    ref = open_run(conn, max_minutes=5)
    with pytest.raises(RunIncomplete, match=f"the listing is not at its end: {said}"):
        enqueue(conn, ref, 0, Chunks(6, strike))
    assert set(pages) <= {1, 2, 3}
    report = runs.get_report(conn, ref.run_id)
    screened = report.new
    assert screened in (0, CHUNK_ITEMS), "the chunk before the one read ahead"
    assert (report.stop_reason or "").startswith(said)
    assert not get_partition(conn, ref.run_id, 0).done
    with conn, conn.cursor() as cur:
        cur.execute(f"UPDATE retrofill.run SET {repair}")  # noqa: S608  no value from outside
    assert enqueue(conn, ref, 0, Chunks(6))["new"] == 6 * CHUNK_ITEMS - screened
    assert counts(conn, ref) == (6 * CHUNK_ITEMS,) * 4


def test_a_run_whose_listing_was_stopped_closes_as_incomplete(conn: connection) -> None:
    ref = open_run(conn)
    stop(conn, ref.run_id, "for the night")
    with pytest.raises(RunIncomplete):
        enqueue(conn, ref, 0, Chunks(1))
    with pytest.raises(
        RunIncomplete, match=r"1 partition not listed to the end\. It was stopped: for the night"
    ):
        close_run(conn, ref, ALL_LIVE)
    assert runs.get_report(conn, ref.run_id).status == "incomplete"


def test_items_read_ahead_of_a_full_set_are_left_to_the_next(conn: connection) -> None:
    room = CHUNK_ITEMS + 5
    ref = open_run(conn, max_items=room)
    assert enqueue(conn, ref, 0, Chunks(4))["new"] == room
    assert counts(conn, ref) == (room,) * 4
    assert not get_partition(conn, ref.run_id, 0).done
    following = open_next_set(conn, ref, max_items=1_000_000)
    enqueue(conn, following, 0, Chunks(4))
    assert counts(conn, ref) == (4 * CHUNK_ITEMS,) * 4
    assert get_partition(conn, ref.run_id, 0).done


def test_a_finished_task_has_its_chunks_on_disk(state_dsn: str, conn: connection) -> None:
    """Only commits before the last one may leave the time of writing to the server."""
    written: list[bool] = []
    ref = open_run(conn)
    with closing(connect(state_dsn)) as other, conn.cursor() as cur:
        cur.execute("SET synchronous_commit = on")
        conn.commit()

        def look(point: Point) -> None:
            if point == Point.CHUNK_COPIED:
                with other, other.cursor() as theirs:
                    theirs.execute("SELECT pg_current_wal_insert_lsn()::text")
                    position.extend(theirs.fetchone() or ())

        position: list[str] = []
        with injected(look):
            enqueue(conn, ref, 0, Chunks(3))
        with other, other.cursor() as theirs:
            theirs.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", (position[-1],))
            written.extend(theirs.fetchone() or ())
    assert written == [True]


@pytest.mark.parametrize("faults", ["chunk.copied:9:raise", "chunk.copied:1:raise"])
def test_the_interpreter_is_left_as_it_was(conn: connection, faults: str) -> None:
    before = gc.get_threshold(), sys.getswitchinterval()
    during: list[tuple[int, float]] = []
    strike = armed(faults)

    def look(point: Point) -> None:
        during.append((gc.get_threshold()[0], sys.getswitchinterval()))
        strike(point)

    ref = open_run(conn)
    with injected(look):
        try:
            enqueue(conn, ref, 0, Chunks(2))
        except InjectedError:
            assert "1:raise" in faults
    assert during[0] != (before[0][0], before[1])
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


class Pages(PlainSource):
    """A source of given pages, which may be held until acknowledged."""

    name = "given://source"

    def __init__(self, *pages: Page, acknowledges: bool = False) -> None:
        self._pages = pages
        self.acknowledges = acknowledges
        self.acknowledged: list[str] = []

    def check(self) -> bool:
        return True

    def partitions(self, limit: int) -> list[Partition]:
        return [Partition(0, "all", {})][:limit]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        del partition
        yield from (page for page in self._pages if page.cursor > (cursor or ""))

    def acknowledge(self, page: Page) -> None:
        self.acknowledged.append(page.cursor)


def with_content(key: str, content: str) -> Item:
    return item(key)._replace(content=content)


@pytest.mark.parametrize("content", ["x" * 60, "\u20ac" * 20, "\U0001f600" * 15])
def test_a_chunk_ends_where_its_content_is_large(
    conn: connection, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """Each takes 60 bytes in UTF-8."""
    monkeypatch.setattr(enqueueing, "CHUNK_BYTES", 100)
    pages = [Page([with_content(key, content)], key, {}) for key in "abcde"]
    ref = open_run(conn)
    assert enqueue(conn, ref, 0, Pages(*pages))["new"] == 5
    assert get_partition(conn, ref.run_id, 0).chunk_no == 3


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            item("\u20ac" * 342),
            r"given://source: it lists an item with a key of 1,026 bytes, '\u20ac",
        ),
        (with_content("b", "a\0"), r"content of item 'b' has the control character '\\x00'"),
        (with_content("b", "\x1e"), r"content of item 'b' has the control character '\\x1e'"),
    ],
)
def test_an_item_that_the_state_cannot_store_is_an_error_of_its_source(
    conn: connection, bad: Item, says: str
) -> None:
    ref = open_run(conn)
    with pytest.raises(SourceError, match=says):
        enqueue(conn, ref, 0, Pages(Page([item("a"), bad], "1", {})))
    longest = item("\u20ac" * 341 + "x")
    assert enqueue(conn, ref, 0, Pages(Page([item("a"), longest], "1", {})))["new"] == 2


def test_items_too_large_for_any_call_are_left_out(conn: connection) -> None:
    ref = open_run(conn)
    page = Page([item("a"), item("b"), item("c")], "1", {"filtered": 1})
    enqueue(conn, ref, 0, Pages(page), lambda one: "too_large" if one.key == "b" else None)
    report = runs.get_report(conn, ref.run_id)
    assert (report.listed, report.left_out) == (2, {"filtered": 1, "too_large": 1})


def test_late_new_items_are_counted_once(conn: connection) -> None:
    def page(keys: str, cursor: str, late: str) -> Page:
        items = [item(key) for key in keys]
        early = frozenset(one.identifier for one in items if one.key in late)
        return Page(items, cursor, {}, early)

    enqueue(conn, open_run(conn, "first"), 0, Pages(Page([item("a"), item("c")], "1", {})))
    # The second page repeats an item of the first, and the set ends within that page.
    pages = Pages(page("abcd", "1", "abcd"), page("defg", "2", "deg"))
    ref = open_run(conn, "second", max_items=3)
    enqueue(conn, ref, 0, pages)
    assert runs.get_report(conn, ref.run_id).late == 3
    enqueue(conn, open_next_set(conn, ref, max_items=9), 0, pages)
    report = runs.get_report(conn, ref.run_id)
    assert (report.new, report.known, report.late) == (5, 2, 4)
    assert "new, but older than the interval: 4" in report.as_text({})


def test_pages_are_acknowledged_once_their_commit_is_on_disk(
    conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 2)
    pages = [Page([item(f"{no}{place}") for place in "ab"], str(no), {}) for no in range(1, 4)]
    source = Pages(*pages, acknowledges=True)
    ref = open_run(conn, max_items=5)
    enqueue(conn, ref, 0, source)
    # The third page is cut: its rest is for the next set.
    assert source.acknowledged == ["1", "2"]
    ref = open_next_set(conn, ref, max_items=5)
    enqueue(conn, ref, 0, source)
    assert source.acknowledged == ["1", "2", "3"]


def test_commits_of_acknowledged_pages_are_flushed(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 1)
    written, flushed = [], []
    with conn, conn.cursor() as cur:
        cur.execute("SET synchronous_commit = on")  # the server of these tests does not flush
    with closing(connect(state_dsn)) as other:

        def note(point: Point) -> None:
            with other, other.cursor() as cur:
                if point is Point.CHUNK_COPIED:
                    cur.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
                    written.extend(cur.fetchall())
                if point is Point.CHUNK_COMMITTED:
                    cur.execute("SELECT pg_current_wal_flush_lsn() - '0/0'")
                    flushed.extend(cur.fetchall())

        pages = [Page([item(f"{no:02}")], f"{no:02}", {}) for no in range(20)]
        with injected(note):
            enqueue(conn, open_run(conn), 0, Pages(*pages, acknowledges=True))
    assert len(written) == 21
    assert all(before < after for before, after in zip(written, flushed, strict=True))
