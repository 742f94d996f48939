"""The cost of the pages to a run: viewers look while calls are settled.

Run ``make bench-pages``. It starts a separate Postgres with the settings of the embedded stack. SQL
fills a job with items: most are processed, some are in quarantine, the last ones are in process and
wait in batches. Threads settle calls of these as tasks do, a thousand per second, first alone and
then with 20 viewers. Each viewer opens one page after another, every 3 seconds, through the app
that Airflow mounts and with Airflow's permissions.
"""

import logging
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from http import HTTPStatus
from itertools import islice

from retrofill.model.calls import Call, EndedCall, Settlement, Span
from retrofill.model.pulse import Slice
from retrofill.state.connection import Connection, connect
from retrofill.state.lease import BatchLease

from benchmarks.command import FailedError, exit_code, say, sizes_asked
from benchmarks.measure import cpu_s, server_of
from benchmarks.server import Database, number
from benchmarks.table import table
from stack.services import temporary_postgres
from tests.integration.opened import enqueue, item, open_run

SIZES = [1_000_000, 10_000_000]
VIEWERS = 20
LOOK_EVERY_S = 3.0
SECONDS = 20.0
CALLS_PER_SECOND = 1_000
SETTLED_AT_ONCE = 20
TASKS = 4
BATCHES = 1_000
IN_QUARANTINE = 20_000
"""The most items in quarantine; jobs of less than 2 million items have a hundredth there."""
PAGES = {
    "Jobs": "/jobs",
    "Job": "/jobs/1",
    "Run": "/dags/d/runs/r",
    "Quarantine": "/jobs/1/quarantine",
    "Items": "/jobs/1/items?key=data/0000012",
}

HEADS = (
    "items", "page", "looks", "median, ms", "p95, ms", "calls/s", "alone", "transactions/s",
    "alone", "database CPU, %", "alone",
)  # fmt: skip


FILL = """
INSERT INTO retrofill.batch (
    job_id, run_id, set_no, first_seq, last_seq, items, epoch, next_call, done_at, calls,
    calls_settled, calls_succeeded, items_answered, succeeded, quarantined, task_id, map_index,
    slowest, slowest_ms, cost
)
SELECT
    1, 1, 1, -%(items)s + n * %(each)s, -%(items)s + (n + 1) * %(each)s - 1, %(each)s, 1,
    %(each)s + 1, now(), %(each)s, %(each)s, %(each)s - %(bad)s, %(each)s - %(bad)s,
    %(each)s - %(bad)s, %(bad)s, 'invoke', n, '{1,2,3,4,5,6,7,8,9,10}',
    ARRAY(SELECT 5000 - m FROM generate_series(1, 10) AS m), 0.01
FROM generate_series(0, %(batches)s - 1) AS n;

INSERT INTO retrofill.call_count (batch_id, outcome, cause, calls, items, last_calls)
SELECT batch_id, outcome, cause, 12, 12, '{1,2,3,4,5,6,7,8,9,10}'
FROM retrofill.batch, (
    VALUES ('failed'::retrofill.outcome, 'unhandled'), ('failed', 'timed_out'), ('throttled', '')
) AS way (outcome, cause)
WHERE calls > 0;

INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT 1, 'data/' || lpad(n::text, 9, '0'), md5(n::text)::uuid, 1, 1 + n / %(each)s,
    1 + n %% %(each)s, 1, now()
FROM generate_series(0, %(items)s - 1) AS n WHERE n %% %(every)s > 0;

INSERT INTO retrofill.quarantine (
    job_id, item_key, identifier, run_id, batch_id, call_no, content, attempts, failures, unsure,
    request_id, error_type, error, quarantined_at
)
SELECT 1, 'data/' || lpad(n::text, 9, '0'), md5(n::text)::uuid, 1, 1 + n / %(each)s,
    1 + n %% %(each)s, '1', 3, 3, false, 'r' || n, 'Error' || n %% 7, 'it failed', now()
FROM generate_series(0, %(items)s - 1, %(every)s) AS n;

INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates, sent_at, ended_at, outcome,
    request_id, error_type, error, keys
)
SELECT
    batch_id, n, 1, int8multirange(int8range(first_seq + n - 1, first_seq + n)), 1, 1, 0,
    now() - interval '1 s', now(),
    CASE WHEN n <= 10 THEN 'failed' ELSE 'succeeded' END::retrofill.outcome, 'request-' || n,
    CASE WHEN n <= 10 THEN 'Error' END, CASE WHEN n <= 10 THEN 'it failed' END,
    CASE WHEN n <= 10 THEN '["data/000000000"]'::jsonb END
FROM retrofill.batch, generate_series(1, %(each)s) AS n WHERE calls > 0;

UPDATE retrofill.partition SET listed = listed + %(items)s, new = new + %(items)s
WHERE run_id = 1 AND part_no = 0;
UPDATE retrofill.run SET opened_at = now() - interval '6 h' WHERE run_id = 1;

INSERT INTO retrofill.pulse (
    run_id, second, seconds, at, calls, succeeded, quarantined, troubles, call_seconds,
    most_in_flight, latency
)
SELECT 1, n, CASE WHEN n < 600 THEN 5 ELSE 60 END, now(), 5000, 50000, 5, '{"timed_out": 5}', 250,
    100, array_fill(50, ARRAY[40])
FROM (
    SELECT generate_series(0, 595, 5) UNION ALL SELECT generate_series(600, 21000, 60)
) AS slice (n);

INSERT INTO retrofill.event (run_id, who, what, value)
SELECT 1, 'Ada', 'max_concurrency', n::text FROM generate_series(1, 60) AS n;
"""


TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass
class Load:
    """What happened in a block."""

    calls_per_s: float = 0
    transactions_per_s: float = 0
    cpu_percent: float = 0
    """Of one core."""


def settle(dsn: str, batch_id: int, over: threading.Event, settled: list[int]) -> None:
    """Settle the calls of a batch at a fixed rate, without an endpoint, like a task of a run.

    :param settled: gets the number of items, at the index `batch_id`
    """
    with closing(BatchLease(dsn, batch_id, f"task {batch_id}")) as lease:
        lease.take(holder_is_dead=lambda _: True)
        seqs, items, _ = lease.load(lease.portions(1)[0])
        calls = (Call(seqs[at : at + 1], items[at : at + 1]) for at in range(len(seqs)))
        under_way: list[Call] = []
        pulse_at = next_at = time.monotonic()
        while not over.is_set():
            now = time.monotonic()
            if now - pulse_at >= 1:
                second = int(now) // 5 * 5
                lease.allot(
                    99, SETTLED_AT_ONCE,
                    pulse=[Slice(30_000 + second % 600, 5, 250, 250, 0, {}, 50.0, 100, [0, 250])],
                )  # fmt: skip
                pulse_at = now
            ended = Settlement(
                ended=[EndedCall(call.number, "succeeded", "r", items=1) for call in under_way],
                succeeded=[
                    (Span(span.first, span.last), call.number)
                    for call in under_way
                    for span in call.spans
                ],
            )
            under_way = list(islice(calls, SETTLED_AT_ONCE))
            if not under_way:
                return
            lease.settle(ended, under_way)
            settled[batch_id] += len(under_way)
            next_at += SETTLED_AT_ONCE * TASKS / CALLS_PER_SECOND
            over.wait(max(0.0, next_at - time.monotonic()))


def measure(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield from table(HEADS, [row for items in sizes for row in _measure(items)])


def _measure(items: int) -> Iterator[list[str]]:
    with temporary_postgres(durable=True) as server:
        database = Database(server)
        database.create()
        with closing(connect(database.dsn)) as conn:
            say(f"{items:,} items: filling")
            _fill(conn, items)
            say(f"{items:,} items: settling alone")
            with _settling(conn, database.dsn) as alone:
                time.sleep(SECONDS)
            say(f"{items:,} items: settling with {VIEWERS} viewers")
            with _served_pages(database.dsn) as look, _settling(conn, database.dsn) as viewed:
                looks = _view(look)
    loads = astuple(viewed), astuple(alone)
    for name, seconds in sorted(looks.items()):
        ms = sorted(1_000 * took for took in seconds)
        yield [
            f"{items:,}",
            name,
            f"{len(ms):,}",
            f"{statistics.median(ms):,.0f}",
            f"{ms[int(0.95 * (len(ms) - 1))]:,.0f}",
            *(f"{one:,.0f}" for pair in zip(*loads, strict=True) for one in pair),
        ]


def _fill(conn: Connection, items: int) -> None:
    """Fill a job with this many called items, and enough others to settle during the test."""
    waiting = int(3 * SECONDS * CALLS_PER_SECOND) // TASKS
    ref = open_run(conn, max_concurrency=1_000)
    for task in range(TASKS):
        keys = (f"new/{task}/{at:07}" for at in range(waiting))
        enqueue(conn, ref, [item(key) for key in keys], done=task == TASKS - 1)
    with conn, conn.cursor() as cur:
        for task in range(TASKS):
            cur.execute(
                "INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items)"
                " VALUES (1, 1, 1, %s, %s, %s)",
                (1 + task * waiting, (task + 1) * waiting, waiting),
            )
        every = max(items // IN_QUARANTINE, 100)
        each = items // BATCHES
        sizes = {"items": items, "batches": BATCHES, "each": each, "every": every}
        cur.execute("SET LOCAL statement_timeout = 0")
        cur.execute(FILL, {**sizes, "bad": -(-each // every)})
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute("SET statement_timeout = 0")
        cur.execute("VACUUM ANALYZE")


@contextmanager
def _settling(conn: Connection, dsn: str) -> Iterator[Load]:
    """Settle calls while a block runs; yield the load, which is complete at the end."""
    load, over, settled, process = Load(), threading.Event(), [0] * (TASKS + 1), server_of(conn)
    with ThreadPoolExecutor(TASKS) as tasks:
        working = [tasks.submit(settle, dsn, task + 1, over, settled) for task in range(TASKS)]
        try:
            time.sleep(1)
            began, cpu = time.monotonic(), cpu_s(process)
            calls, transactions = sum(settled), number(conn, TRANSACTIONS)
            yield load
            seconds = time.monotonic() - began
            load.calls_per_s = (sum(settled) - calls) / seconds
            load.transactions_per_s = (number(conn, TRANSACTIONS) - transactions) / seconds
            load.cpu_percent = 100 * (cpu_s(process) - cpu) / seconds
        finally:
            over.set()
        for done in working:
            done.result()


def _view(look: Callable[[str], float]) -> dict[str, list[float]]:
    """Make all viewers look for a while; return the seconds that each look took, by page."""
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    until = time.monotonic() + SECONDS

    def view(at: int) -> None:
        names = list(PAGES)
        time.sleep(LOOK_EVERY_S * random.random())  # noqa: S311  no secret
        while time.monotonic() < until:
            name = names[at % len(names)]
            took[name].append(look(PAGES[name]))
            at += 1
            time.sleep(LOOK_EVERY_S)

    with ThreadPoolExecutor(VIEWERS) as viewers:
        for done in [viewers.submit(view, number) for number in range(VIEWERS)]:
            done.result()
    return took


@contextmanager
def _served_pages(dsn: str) -> Iterator[Callable[[str], float]]:
    """Serve the app as Airflow mounts it, with its permissions; yield what opens a page.

    It returns the seconds that the page took.
    """
    # Airflow reads its settings when it is imported.
    os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = "one secret, for this test " * 4
    os.environ["AIRFLOW_CONN_RETROFILL_STATE"] = dsn
    from tests.integration import api_server  # noqa: PLC0415

    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with api_server.serving() as client:
        cookie = api_server.as_role("ADMIN")

        def look(path: str) -> float:
            began = time.monotonic()
            answer = client.get(f"/retrofill{path}", headers=cookie)
            took = time.monotonic() - began
            if answer.status_code != HTTPStatus.OK:
                raise FailedError(f"{path} returned {answer.status_code}: {answer.text[-500:]}")
            return took

        yield look


if __name__ == "__main__":
    sys.exit(exit_code(measure(sizes_asked("benchmarks.pages", __doc__, SIZES))))
