"""What is measured: each thing that is done to items, and what it is compared with."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta

import psutil
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from psycopg2.extensions import make_dsn
from retrofill.aws.objects import pack
from retrofill.engine.identity import identifier_of
from retrofill.model.calls import Call, EndedCall, Entry, Fresh, Settlement
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.pipeline.enqueue import Enqueued, enqueue
from retrofill.pipeline.plan_batches import (
    BATCH_CALLS,
    BATCH_ITEMS,
    LARGEST_BATCH,
    SMALLEST_BATCH,
)
from retrofill.sources import Page, Partition
from retrofill.state import batches
from retrofill.state.lease import BatchLease

from benchmarks.measure import cpu_s
from benchmarks.opened import open_run

SOURCE = "s3://camera-uploads"
PAGE_ITEMS = 1_000
_FAR = 6_364_136_223_846_793_005
_PLACES = 1 << 63
"""Odd and a power of two: each number gets a place of its own."""

START = datetime(2019, 9, 3, 19, 37, 27, tzinfo=UTC)
ITEMS_PER_QUERY = 3_000
"""How many items are screened with a query each: as many as take about a second."""

ITEMS_PER_CALL = 100

CONTENT_BYTES = 1_000
"""What an item of :class:`Rows` holds."""

SETTLED_AT_ONCE = 2_000
"""Items of one settling transaction: what a busy invoke task gathers in 5 to 50 ms."""

JOB_ID = 1
"""A database has one job."""

_BARE = """
CREATE TABLE bare (
    job_id integer, seq bigint, run_id bigint, identifier uuid, item_key text, content text
)
"""
_FIND = """
SELECT FROM single WHERE job_id = %s AND item_key = %s AND identifier = %s
"""
_INSERT = """
INSERT INTO single (
    job_id, seq, run_id, identifier, item_key, content
) VALUES (%s, %s, %s, %s, %s, %s)
"""


class Generated:
    """A source that costs nothing but the making of its items, and names them as S3's does.

    :param items: how many items it has
    :param first: the number of the first of them, a multiple of PAGE_ITEMS
    """

    name = SOURCE
    ordered = True
    acknowledges = False

    def __init__(self, items: int, *, first: int = 0) -> None:
        self._items = items
        self._first = first

    def check(self) -> bool:
        """Return whether it has items: nothing can be wrong with it."""
        return self._items > 0

    def partitions(self, limit: int) -> list[Partition]:
        """Return all of it as one partition."""
        return [Partition(0, "all", {})][:limit]

    def estimate(self) -> int:
        """Return how many items it has."""
        return self._items

    def acknowledge(self, page: Page) -> None:
        """Do nothing: it holds nothing."""

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Make the items page by page, as a listing of S3 is read."""
        del partition, cursor
        identifier = identifier_of(SOURCE)
        # As the source of S3 makes them.
        make = tuple.__new__
        end = self._first + self._items
        for first in range(self._first, end, PAGE_ITEMS):
            count = min(PAGE_ITEMS, end - first)
            etag = f"{first:032x}"
            keys = self._keys(first, count)
            items = [
                make(Item, (identifier(key, etag), key, self._content(first, etag))) for key in keys
            ]
            yield Page(items, keys[-1], {})

    def _content(self, first: int, etag: str) -> str:
        """Return what an item of a page holds."""
        return pack(1_234_567, START + timedelta(seconds=first), etag, "")

    def _keys(self, first: int, count: int) -> list[str]:
        """Return the keys of a page, 60 bytes each."""
        page = f"incoming/2019/09/03/camera-042/20190903T193727-{first // PAGE_ITEMS:05}"
        return [f"{page}{number:03}.jpeg" for number in range(count)]


class Shuffled(Generated):
    """The same in no order: keys of as many bytes, each far from the one before it."""

    ordered = False

    def _keys(self, first: int, count: int) -> list[str]:
        return [
            f"incoming/2019/09/03/camera-042/2019-{number * _FAR % _PLACES:019}.jpeg"
            for number in range(first, first + count)
        ]


class Rows(Generated):
    """The same with a kilobyte of JSON in each item, as a row of a file has it."""

    def _content(self, first: int, etag: str) -> str:
        text = f'{{"page":{first:09},"text":"{etag * 31}'[: CONTENT_BYTES - 2]
        return f'{text}"}}'


class Stopwatch:
    """Adds up what the blocks take that it is entered for."""

    def __init__(self, conn: Connection) -> None:
        self._server = psutil.Process(conn.info.backend_pid).parent()
        self.seconds = 0.0
        self.cpu_s = 0.0

    def __enter__(self) -> None:
        # In this order, and the reverse one at the end: to look at the server's processes takes a
        # few milliseconds, which are nobody's.
        self._began = self._server_cpu_s(), time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds, own_cpu_s, server_cpu_s = (
            time.perf_counter(),
            time.process_time(),
            self._server_cpu_s(),
        )
        began_server, began_own, began = self._began
        self.seconds += seconds - began
        self.cpu_s += own_cpu_s - began_own + server_cpu_s - began_server

    def _server_cpu_s(self) -> float:
        return 0.0 if self._server is None else cpu_s(self._server)


Watch = AbstractContextManager[None]
"""A stopwatch, or nothing where time does not matter."""

Work = Callable[[Connection, int, Stopwatch], int]
"""Does one thing with so many items, under the watch; returns how many it did."""


def raw_copy(conn: Connection, items: int, watch: Stopwatch) -> int:
    """COPY the rows that screening writes into a table without an index, from a file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as rows:
        for seq, item in enumerate(_items(items), 1):
            rows.write(f"1\t{seq}\t1\t{item.identifier.hex()}\t{item.key}\t{item.content}\n")
        rows.seek(0)
        with conn, conn.cursor() as cur:
            cur.execute(_BARE)
        with watch, conn, conn.cursor() as cur:
            cur.copy_expert("COPY bare FROM STDIN", rows, size=1 << 18)
            copied = cur.rowcount
    with conn, conn.cursor() as cur:
        cur.execute("DROP TABLE bare")
    return copied


def query_per_item(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Ask for each item whether it is known and insert it: all of it in one transaction."""
    rows = [
        (1, seq, 1, item.identifier.hex(), item.key, item.content)
        for seq, item in enumerate(_items(min(items, ITEMS_PER_QUERY)), 1)
    ]  # fmt: skip
    with conn, conn.cursor() as cur:
        cur.execute("DROP TABLE IF EXISTS single")
        cur.execute("CREATE TABLE single (LIKE retrofill.in_process INCLUDING ALL)")
    inserted = 0
    with watch, conn, conn.cursor() as cur:
        for row in rows:
            cur.execute(_FIND, (row[0], row[4], row[3]))
            if cur.fetchone() is None:
                cur.execute(_INSERT, row)
                inserted += 1
    return inserted


def screen_new(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Screen the first items, which the job does not know."""
    return screen(conn, Generated(items), items, watch)[1]["new"]


def screen_known(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Screen the same items again."""
    return screen(conn, Generated(items), items, watch)[1]["known"]


def screen_rows(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Screen as many rows, which the job does not know."""
    return screen(conn, Rows(items), items, watch)[1]["new"]


def screen_known_rows(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Screen the same rows again."""
    return screen(conn, Rows(items), items, watch)[1]["known"]


def load_all(conn: Connection, _: int, watch: Stopwatch) -> int:
    """Load all items of the first run as an invoke task does, and settle none."""
    dsn = make_dsn(conn.dsn, password=conn.info.password)
    loaded = 0
    for batch in _plan(conn, ITEMS_PER_CALL):
        with closing(BatchLease(dsn, batch.batch_id, "benchmark")) as lease:
            lease.take(holder_is_dead=lambda _: True)
            with watch:
                for portion in lease.portions(ITEMS_PER_CALL):
                    loaded += len(lease.load(portion).items)
            lease.release(done=False)
    return loaded


def screen(
    conn: Connection, source: Generated, items: int, watch: Watch
) -> tuple[SetRef, Enqueued]:
    """Screen the items of a source as the enqueue task of a new run does."""
    ref = open_run(
        conn,
        SOURCE,
        f"at {time.time()}",
        items_per_call=ITEMS_PER_CALL,
        max_concurrency=100,
        max_items=items,
    )
    with watch:
        return ref, enqueue(conn, ref, 0, source)


def settle(conn: Connection, _: int, watch: Stopwatch) -> int:
    """Settle all items of the first run as succeeded, in calls of many."""
    return _settle_run(conn, watch, ITEMS_PER_CALL)


def settle_ones(conn: Connection, _: int, watch: Stopwatch) -> int:
    """Settle all items of the first run as succeeded, in calls of one."""
    return _settle_run(conn, watch, 1)


def settle_batch(
    conn: Connection,
    batch_id: int,
    watch: Watch,
    *,
    items_per_call: int = ITEMS_PER_CALL,
    most_items: int | None = None,
) -> int:
    """Settle items of a batch, writing the next calls ahead in the same transactions.

    :param most_items: how many; None: all
    :returns: how many there were to settle
    """
    dsn = make_dsn(conn.dsn, password=conn.info.password)
    with closing(BatchLease(dsn, batch_id, "benchmark")) as lease:
        if not lease.take(holder_is_dead=lambda _: True):
            return 0
        settled = 0
        done = True
        for portion in lease.portions(items_per_call):
            seqs, items, _ = lease.load(portion)
            fresh = Fresh(seqs, items)
            if most_items is not None:
                fresh = fresh[: most_items - settled]
            _settle(lease, fresh, items_per_call, watch)
            settled += len(fresh)
            done = done and len(fresh) == len(seqs)
        lease.release(done=done)
    return settled


def _settle(lease: BatchLease, fresh: Sequence[Entry], items_per_call: int, watch: Watch) -> None:
    calls = [Call(fresh[at : at + items_per_call]) for at in range(0, len(fresh), items_per_call)]
    at_once = SETTLED_AT_ONCE // items_per_call
    groups = [calls[at : at + at_once] for at in range(0, len(calls), at_once)]
    ended = Settlement()
    for group in [*groups, []]:
        with watch:
            lease.settle(ended, group)
        ended = Settlement(
            ended=[
                EndedCall(call.number, "succeeded", "5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1", "17")
                for call in group
            ],
            succeeded=[(span, call.number) for call in group for span in call.spans],
        )


def count(conn: Connection, query: str) -> int:
    """Return the one number of a query."""
    with conn, conn.cursor() as cur:
        cur.execute(query)
        (number,) = cur.fetchone() or (0,)
    return int(number)


def _items(number: int) -> Iterator[Item]:
    for page in Generated(number).pages(Partition(0, "", {})):
        yield from page.items


def _plan(conn: Connection, items_per_call: int) -> list[batches.PlannedBatch]:
    return batches.plan(
        conn,
        SetRef(1, 1),
        JOB_ID,
        most_items=max(BATCH_ITEMS, min(BATCH_CALLS * items_per_call, LARGEST_BATCH)),
        fewest_items=SMALLEST_BATCH,
    )


def _settle_run(conn: Connection, watch: Stopwatch, items_per_call: int) -> int:
    for batch in _plan(conn, items_per_call):
        settle_batch(conn, batch.batch_id, watch, items_per_call=items_per_call)
    return count(conn, "SELECT succeeded FROM retrofill.v_run WHERE run_id = 1")
