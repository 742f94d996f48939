"""The measured steps of whole sets: the work on items, and two comparisons."""

import tempfile
from collections.abc import Callable, Iterator

from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.pipeline.plan_batches import (
    BATCH_CALLS,
    BATCH_ITEMS,
    LARGEST_BATCH,
    SMALLEST_BATCH,
)
from retrofill.sources import Partition
from retrofill.state.connection import Connection

from benchmarks import runs
from benchmarks.measure import Stopwatch
from benchmarks.server import number
from benchmarks.sources import Generated

_BARE = """
CREATE TABLE bare (
    job_id integer, seq bigint, run_id bigint, identifier uuid, item_key text, content text
)
"""
_FIND = "SELECT FROM single WHERE job_id = %s AND item_key = %s AND identifier = %s"
_INSERT = """
INSERT INTO single (job_id, seq, run_id, identifier, item_key, content)
VALUES (%s, %s, %s, %s, %s, %s)
"""

Work = Callable[[Connection, int, Stopwatch], int]
"""Does one step with this many items, under the watch; returns the number that it did."""


def raw_copy(conn: Connection, items: int, watch: Stopwatch) -> int:
    """COPY the rows that screening writes, from a file into a table without an index."""
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
    """Look up and insert each item by itself, all in one transaction."""
    rows = [
        (1, seq, 1, item.identifier.hex(), item.key, item.content)
        for seq, item in enumerate(_items(items), 1)
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


def screen_new(
    conn: Connection, items: int, watch: Stopwatch, source: type[Generated] = Generated
) -> int:
    """Screen the first items of a source, which the job does not know."""
    return runs.screen(conn, source(items), watch)[1]["new"]


def screen_known(
    conn: Connection, items: int, watch: Stopwatch, source: type[Generated] = Generated
) -> int:
    """Screen the same items again."""
    return runs.screen(conn, source(items), watch)[1]["known"]


def load(conn: Connection, _: int, watch: Stopwatch) -> int:
    """Load all items of the first run as an invoke task does, and settle none."""
    loaded = 0
    for batch_id in _plan(conn, runs.ITEMS_PER_CALL):
        with runs.lease_of(conn, batch_id) as lease:
            lease.take(holder_is_dead=lambda _: True)
            with watch:
                for portion in lease.portions(runs.ITEMS_PER_CALL):
                    loaded += len(lease.load(portion).items)
            lease.release(done=False)
    return loaded


def settle(
    conn: Connection, _: int, watch: Stopwatch, items_per_call: int = runs.ITEMS_PER_CALL
) -> int:
    """Settle all items of the first run as succeeded."""
    for batch_id in _plan(conn, items_per_call):
        runs.settle(conn, batch_id, watch, items_per_call=items_per_call)
    return number(conn, "SELECT succeeded FROM retrofill.v_run WHERE run_id = 1")


def _items(count: int) -> Iterator[Item]:
    for page in Generated(count).pages(Partition(0, "", {})):
        yield from page.items


def _plan(conn: Connection, items_per_call: int) -> list[int]:
    return runs.plan(
        conn,
        SetRef(1, 1),
        most_items=max(BATCH_ITEMS, min(BATCH_CALLS * items_per_call, LARGEST_BATCH)),
        fewest_items=SMALLEST_BATCH,
    )
