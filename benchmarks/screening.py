"""What screening and settling cost, beside a raw COPY of the same rows and a query per item.

Run ``python -m benchmarks.screening`` (or ``make bench-screening``). A Postgres of its own comes
up with the settings of the embedded stack. In each round everything is measured once, in turns,
each in a process of its own; the figures are the medians of the rounds. Prints tables in Markdown;
the exit code is 1 if a count is not what it must be.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Sender
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from psycopg2.extensions import make_dsn

from benchmarks.opened import open_run
from include.retrofill.model.calls import Call, EndedCall, Fresh, Settlement
from include.retrofill.model.errors import StateError
from include.retrofill.model.items import Item
from include.retrofill.model.runs import SetRef
from include.retrofill.pipeline.enqueue import Enqueued, enqueue
from include.retrofill.pipeline.plan_batches import (
    BATCH_CALLS,
    BATCH_ITEMS,
    LARGEST_BATCH,
    SMALLEST_BATCH,
)
from include.retrofill.rules.identity import identifier_of
from include.retrofill.sources import Page, Partition
from include.retrofill.state import batches
from include.retrofill.state.connection import connect
from include.retrofill.state.lease import BatchLease
from include.retrofill.state.migrate import migrate
from stack.services import Postgres, free_port, running
from stack.settings import StackError

DATABASE = "bench"
SOURCE = "s3://camera-uploads"
PAGE_ITEMS = 1_000
START = datetime(2019, 9, 3, 19, 37, 27, tzinfo=UTC)
ITEMS_PER_QUERY = 3_000
"""How many items are screened with a query each: as many as take about a second."""

SETTLED_AT_ONCE = 2_000
"""Items of one settling transaction: what a busy invoke task gathers in 5 to 50 ms."""

ROUNDS = {100_000: 5, 1_000_000: 3}
"""How often sizes up to these are measured; larger ones once."""

_KB_PER_MB = 1024
_MILLION = 1_000_000
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_BARE = """
CREATE TABLE bare (
    job_id integer, seq bigint, run_id bigint, identifier uuid, item_key text, version_id text,
    etag text, size bigint, modified_at timestamptz
)
"""
_FIND = """
SELECT FROM single WHERE job_id = %s AND item_key = %s AND identifier = %s
"""
_INSERT = """
INSERT INTO single (
    job_id, seq, run_id, identifier, item_key, version_id, etag, size, modified_at
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class WrongCountError(Exception):
    """Something was screened or settled that should not, or was not that should."""


class Generated:
    """A source that costs nothing but the making of its items, and names them as S3's does."""

    name = SOURCE

    def __init__(self, items: int) -> None:
        self._items = items

    def check(self) -> None:
        """Nothing can be wrong with it."""

    def partitions(self, limit: int) -> list[Partition]:
        """Return all of it as one partition."""
        return [Partition(0, "all", {})][:limit]

    def pages(self, partition: Partition, after_key: str | None = None) -> Iterator[Page]:
        """Make the items page by page, as a listing of S3 is read."""
        del partition, after_key
        identifier = identifier_of(SOURCE)
        # As the source of S3 makes them.
        make, defaults = tuple.__new__, tuple(Item._field_defaults.values())
        ends = [f"{number:03}.jpeg" for number in range(PAGE_ITEMS)]
        for first in range(0, self._items, PAGE_ITEMS):
            count = min(PAGE_ITEMS, self._items - first)
            modified_at = START + timedelta(seconds=first)
            etag = f"{first:032x}"
            page = f"incoming/2019/09/03/camera-042/20190903T193727-{first // PAGE_ITEMS:05}"
            keys = [page + end for end in ends[:count]]  # 60 bytes
            items = [
                make(
                    Item, (identifier(key, etag), key, 1_234_567, modified_at, etag, "", *defaults)
                )
                for key in keys
            ]
            yield Page(items, keys[-1], count, filtered=0, archived=0, rejected=0)


class Measured(NamedTuple):
    """What one measurement took."""

    items: int
    seconds: float
    cpu_s: float
    """In that time, of the process that did it and of all the server's."""
    peak_mb: float
    """The most memory of the process that did it."""
    wal_bytes: int


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
        total = 0.0
        if self._server is not None:
            for process in [self._server, *self._server.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):  # what it took counts with its parent
                    total += sum(process.cpu_times()[:4])
        return total


Work = Callable[[Connection, int, Stopwatch], int]
"""Does one thing with so many items, under the watch; returns how many it did."""


def raw_copy(conn: Connection, items: int, watch: Stopwatch) -> int:
    """COPY the rows that screening writes into a table without an index, from a file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as rows:
        for seq, item in enumerate(_items(items), 1):
            rows.write(
                f"1\t{seq}\t1\t{item.identifier.hex()}\t{item.key}\t{item.version_id}\t"
                f"{item.etag}\t{item.size}\t{item.modified_at.isoformat()}\n"
            )
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
        (1, seq, 1, item.identifier.hex(), item.key, item.version_id, item.etag, item.size,
         item.modified_at)
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
    """Screen items that the job does not know."""
    return _screened(conn, "first", items, watch)["new"]


def screen_known(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Screen the same items again."""
    return _screened(conn, f"again {time.time()}", items, watch)["known"]


def settle(conn: Connection, _: int, watch: Stopwatch, *, items_per_call: int = 100) -> int:
    """Settle every item as succeeded, writing the next calls ahead in the same transactions."""
    dsn = make_dsn(conn.dsn, password=conn.info.password)
    ref = SetRef(1, 1)
    planned = batches.plan(
        conn,
        ref,
        1,
        most_items=max(BATCH_ITEMS, min(BATCH_CALLS * items_per_call, LARGEST_BATCH)),
        fewest_items=SMALLEST_BATCH,
    )
    for batch in planned:
        with closing(BatchLease(dsn, batch.batch_id, "benchmark")) as lease:
            if not lease.take(holder_is_dead=lambda _: True):
                continue
            seqs, items, _ = lease.load()
            fresh = Fresh(seqs, items)
            calls = [
                Call(fresh[at : at + items_per_call]) for at in range(0, len(seqs), items_per_call)
            ]
            at_once = SETTLED_AT_ONCE // items_per_call
            groups = [calls[at : at + at_once] for at in range(0, len(calls), at_once)]
            ended = Settlement()
            for group in [*groups, []]:
                with watch:
                    lease.settle(ended, group)
                ended = Settlement(
                    ended=[
                        EndedCall(
                            call.number, "succeeded", "5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1", "17"
                        )
                        for call in group
                    ],
                    succeeded=[(span, call.number) for call in group for span in call.spans],
                )
            lease.release(done=True)
    return _count(conn, "SELECT succeeded FROM retrofill.v_run WHERE run_id = 1")


def settle_ones(conn: Connection, items: int, watch: Stopwatch) -> int:
    """Settle as above, of calls of one item."""
    return settle(conn, items, watch, items_per_call=1)


def _items(count: int) -> Iterator[Item]:
    for page in Generated(count).pages(Partition(0, "", {})):
        yield from page.items


def _screened(conn: Connection, dag_run_id: str, items: int, watch: Stopwatch) -> Enqueued:
    ref = open_run(
        conn, SOURCE, dag_run_id, items_per_call=100, max_concurrency=100, max_items=items
    )
    with watch:
        return enqueue(conn, ref, 0, Generated(items))


def _count(conn: Connection, query: str) -> int:
    with conn, conn.cursor() as cur:
        cur.execute(query)
        (count,) = cur.fetchone() or (0,)
    return int(count)


class Bench:
    """A server of its own, with one database that is made anew for each round."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._dsn = server.dsn(DATABASE, role=DATABASE)

    def fresh(self) -> None:
        """Have the state's schema, and nothing in it."""
        self._server.ensure_database(DATABASE)
        self._do(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        self._do(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
        migrate(self._dsn)

    def measure(self, work: Work, items: int) -> Measured:
        """Do some work in a process of its own, which shares nothing with this one.

        :raises WrongCountError: it did not do what it should
        """
        # What one measurement has left to write must not slow down the next.
        self._do("CHECKPOINT")
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(self._dsn, work, items, sender))
        process.start()
        sender.close()
        try:
            measured: Measured = receiver.recv()
        except EOFError as error:
            raise WrongCountError(f"{work.__name__} broke off; see above") from error
        finally:
            process.join()
        wanted = min(items, ITEMS_PER_QUERY) if work is query_per_item else items
        if measured.items != wanted:
            raise WrongCountError(f"{work.__name__}: {measured.items:,} items, not {wanted:,}")
        return measured

    def bytes_of(self, table: str) -> int:
        """Return what a table takes on disk, with its indexes."""
        with closing(connect(self._dsn)) as conn:
            return _count(conn, f"SELECT pg_total_relation_size('retrofill.{table}')")

    def vacuum(self) -> None:
        """Do what autovacuum does within a minute."""
        self._do("VACUUM (ANALYZE)", DATABASE)

    def _do(self, statement: str, database: str = "postgres") -> None:
        with closing(psycopg2.connect(self._server.dsn(database))) as conn:
            conn.autocommit = True
            with conn.cursor() as cur:
                cur.execute(statement)


def _measure(dsn: str, work: Work, items: int, sender: Sender) -> None:
    with closing(connect(dsn)) as conn:
        watch = Stopwatch(conn)
        wal_bytes = _count(conn, _WAL)
        done = work(conn, items, watch)
        wal_bytes = _count(conn, _WAL) - wal_bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB
    sender.send(Measured(done, watch.seconds, watch.cpu_s, peak, wal_bytes))


@dataclass
class Round:
    """What was measured in one round at one size."""

    measured: dict[str, Measured] = field(default_factory=dict)
    bytes_per_row: dict[str, float] = field(default_factory=dict)
    """By the name of the measurement that filled the table."""


RAW, NEW, SETTLED = "raw COPY", "new items", "settling, 100 items a call"
KNOWN_WAITING, KNOWN_DONE = "known items, in process", "known items, in results"
QUERIES, SETTLED_ONES = "SELECT and INSERT per item", "settling, 1 item a call"


def measure_round(bench: Bench, items: int, *, ones: bool) -> Round:
    """Measure everything once, in turns.

    :param ones: whether to settle calls of one item, too
    """
    seen = Round()
    bench.fresh()
    for name, work in {RAW: raw_copy, QUERIES: query_per_item, NEW: screen_new}.items():
        seen.measured[name] = bench.measure(work, items)
    seen.bytes_per_row[NEW] = bench.bytes_of("in_process") / items
    seen.measured[KNOWN_WAITING] = bench.measure(screen_known, items)
    seen.measured[SETTLED] = bench.measure(settle, items)
    seen.bytes_per_row[SETTLED] = bench.bytes_of("results") / items
    bench.vacuum()
    seen.measured[KNOWN_DONE] = bench.measure(screen_known, items)
    if ones:
        bench.fresh()
        bench.measure(screen_new, items)
        seen.measured[SETTLED_ONES] = bench.measure(settle_ones, items)
    return seen


HEAD = """\
| items | what | items/s | ÷ raw COPY | CPU µs/item | peak RSS, MB | WAL B/item | disk B/row |
| --: | :-- | --: | --: | --: | --: | --: | --: |"""


def lines(items: int, rounds: list[Round]) -> Iterator[str]:
    """Yield the table's lines for one size."""
    for name in rounds[0].measured:
        measured = [one.measured[name] for one in rounds]
        # The yardstick of a round is the raw COPY of the same round.
        ratio = median(_rate(one.measured[name]) / _rate(one.measured[RAW]) for one in rounds)
        disk = rounds[0].bytes_per_row.get(name)
        cells = [
            f"{items:,}",
            name,
            f"{median(_rate(one) for one in measured):,.0f}",
            f"{ratio:.3f}" if name == QUERIES else f"{ratio:.2f}",
            f"{median(one.cpu_s / one.items for one in measured) * _MILLION:.1f}",
            f"{median(one.peak_mb for one in measured):.0f}",
            f"{median(one.wal_bytes / one.items for one in measured):.0f}",
            f"{disk:.0f}" if disk else "",
        ]
        yield f"| {' | '.join(cells)} |"


def _rate(measured: Measured) -> float:
    return measured.items / measured.seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100_000, 1_000_000], metavar="ITEMS"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="default: 5 up to 100,000 items, 3 up to 1,000,000"
    )
    return parser.parse_args()


def main() -> int:
    """Measure and print, size by size; return the exit code."""
    arguments = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="retrofill-bench-") as directory:
            server = Postgres(Path(directory) / "data", free_port(), password="bench")  # noqa: S106
            with running(server):
                bench = Bench(server)
                print(HEAD, flush=True)
                for items in arguments.sizes:
                    count = arguments.rounds or next(
                        (count for size, count in ROUNDS.items() if items <= size), 1
                    )
                    ones = items == min(arguments.sizes)
                    rounds = []
                    for number in range(1, count + 1):
                        print(f"{items:,} items, round {number} of {count}", file=sys.stderr)
                        rounds.append(measure_round(bench, items, ones=ones))
                    print(*lines(items, rounds), sep="\n", flush=True)
    except (StackError, StateError, WrongCountError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
