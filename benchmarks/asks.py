"""What many tasks of one run cost Postgres: requests per second, lock waits, connections, calls.

Run ``make bench-asks``. It starts a separate Postgres with the settings of the embedded stack, and
the scripted endpoint. For each number of tasks, as many processes work on batches of one run, each
with the whole invoke stage and its own connection, as on ten workers. What they do in the same
seconds is counted. The run may have 400 calls in flight, which take a second each.
"""

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple, Self

import psycopg2
from retrofill.config import params_for
from retrofill.environment import EnvironmentConnections
from retrofill.model.calls import Allotment
from retrofill.model.errors import Interrupted
from retrofill.pipeline.invoke import Invoker, take
from retrofill.sources.memory import MemorySource
from retrofill.state import runs as state_runs
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

from benchmarks import runs
from benchmarks.command import FailedError, exit_code, say, sizes_asked
from benchmarks.contenders.work import REGION
from benchmarks.encode import KEYS, SOURCE, items
from benchmarks.measure import cpu_s, server_of
from benchmarks.server import Database, number
from benchmarks.table import table
from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.services import temporary_postgres

TASKS = [10, 50, 200]
IN_FLIGHT = 400
LATENCY_S = 1.0
MEASURED_S = 20.0
SETTLED_S = 5.0
"""Seconds for shares to settle before it counts."""
ITEMS = 120_000
"""Enough that no batch comes to its end."""
BEGUN_WITHIN_S = 180
LOOK_EVERY_S = 0.1
CONNECTIONS = 300

HEADS = (
    "tasks", "asks/s", "an ask, ms", "of 20 the slowest", "sessions that wait for a lock",
    "connections", "calls/s", "CPU of Postgres, %",
)  # fmt: skip
_BEGUN = "SELECT count(*) FROM retrofill.batch WHERE epoch > 0"
_SESSIONS = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) - 1
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""


class Ask(NamedTuple):
    """One request of a task; times in monotonic seconds, which all processes share."""

    began: float
    took_s: float


class CountedLease(BatchLease):
    """A lease that records the duration of its requests."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asks: list[Ask] = []

    def allot(self, *args: Any, **kwargs: Any) -> Allotment:
        """Ask as usual."""
        began = time.monotonic()
        allotment = super().allot(*args, **kwargs)
        self.asks.append(Ask(began, time.monotonic() - began))
        return allotment


def work(batch_id: int, over: Any, reports: Any) -> None:
    """Be an invoke task until it is asked to end; report its requests, or its error."""
    try:
        reports.put((batch_id, _asks_of(batch_id, over), ""))
    except BaseException as error:  # noqa: BLE001  the parent reports it
        reports.put((batch_id, [], f"{type(error).__name__}: {error}"))


def _asks_of(batch_id: int, over: Any) -> list[Ask]:
    config = params_for("s3").config(
        {
            "bucket": "camera-uploads",
            "prefix": "incoming/",
            "function": "scripted",
            "event": "s3",
            "max_concurrency": IN_FLIGHT,
        }
    )
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        run = state_runs.get_run(conn, 1)
    with (
        closing(wiring.client_of(config, run)) as client,
        closing(CountedLease(wiring.state_dsn, batch_id, "benchmark")) as lease,
    ):
        take(lease, holder_is_dead=lambda _: False)
        invoker = Invoker(
            lease=lease,
            client=client,
            shape=wiring.shape_of(config, run),
            run=run,
            config=config,
            stop_asked=over.is_set,
        )
        with suppress(Interrupted):
            invoker.run()
        return lease.asks


@contextmanager
def active(tasks: int) -> Iterator[tuple[Any, Any]]:
    """Make this many tasks work; yield what ends them, and where they report their requests."""
    processes = multiprocessing.get_context("fork")
    over, reports = processes.Event(), processes.Queue()
    begun = [processes.Process(target=work, args=(n + 1, over, reports)) for n in range(tasks)]
    for process in begun:
        process.start()
    try:
        yield over, reports
    finally:
        for process in begun:
            process.kill()
            process.join()


class Sessions:
    """Checks regularly what the sessions of a database do."""

    def __init__(self, dsn: str) -> None:
        self._conn = psycopg2.connect(dsn)
        self._conn.autocommit = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sessions")
        self.waiting: list[int] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._conn.close()

    def _watch(self) -> None:
        with self._conn.cursor() as cur:
            while not self._over.wait(LOOK_EVERY_S):
                cur.execute(_SESSIONS)
                waiting, connections = cur.fetchone() or (0, 0)
                self.waiting.append(waiting)
                self.connections = max(self.connections, connections)


def _planned(database: Database, tasks: int) -> None:
    database.fresh()
    with closing(database.connect()) as conn:
        source = MemorySource.of(items(KEYS["plain keys"], ITEMS), name=SOURCE, page_items=ITEMS)
        ref, _ = runs.screen(
            conn, source, nullcontext(), items_per_call=1, max_concurrency=IN_FLIGHT
        )
        each = -(-ITEMS // tasks)
        planned = runs.plan(conn, ref, most_items=each, fewest_items=each)
    if planned != list(range(1, tasks + 1)):
        raise FailedError(f"{len(planned)} batches were planned, not {tasks}")


def _measure(database: Database, endpoint: ScriptedEndpoint, tasks: int) -> list[str]:
    """Return the cells of a row."""
    say(f"{tasks} tasks")
    _planned(database, tasks)
    endpoint.reset()
    with active(tasks) as (over, reports):
        with closing(database.connect()) as conn:
            server = server_of(conn)
            limit = time.monotonic() + BEGUN_WITHIN_S
            while number(conn, _BEGUN) < tasks:
                if time.monotonic() > limit:
                    raise FailedError(f"not all tasks had begun within {BEGUN_WITHIN_S} s")
                time.sleep(1)
        time.sleep(SETTLED_S)
        with Sessions(database.dsn) as sessions:
            began, calls, cpu = time.monotonic(), endpoint.stats().invocations, cpu_s(server)
            time.sleep(MEASURED_S)
            ended = time.monotonic()
            calls, cpu = endpoint.stats().invocations - calls, cpu_s(server) - cpu
        over.set()
        answers = [reports.get(timeout=BEGUN_WITHIN_S) for _ in range(tasks)]
    if wrong := next((error for _, _, error in answers if error), ""):
        raise FailedError(f"a task failed: {wrong}")
    if (most := endpoint.stats().max_in_flight) > IN_FLIGHT:
        raise FailedError(f"{most} calls were in flight at once, more than {IN_FLIGHT}")
    took = [ask.took_s for _, asks, _ in answers for ask in asks if began <= ask.began < ended]
    seconds = ended - began
    return [
        f"{tasks}",
        f"{len(took) / seconds:.0f}",
        f"{statistics.median(took) * 1000:.0f}",
        f"{statistics.quantiles(took, n=20)[-1] * 1000:.0f}",
        f"{statistics.mean(sessions.waiting):.1f}",
        f"{sessions.connections}",
        f"{calls / seconds:.0f}",
        f"{cpu / seconds * 100:.0f}",
    ]


def measure(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of the table.

    :raises FailedError: a task fails, or they exceed the limit of their run
    """
    with (
        tempfile.TemporaryDirectory(prefix="retrofill-airflow-") as home,
        scripted_endpoint(Script(latency=LATENCY_S, count_items=False)) as endpoint,
        temporary_postgres(durable=True, max_connections=CONNECTIONS) as server,
    ):
        database = Database(server)
        aws = {"conn_type": "aws", "extra": {"endpoint_url": endpoint.url, "region_name": REGION}}
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_RETROFILL_STATE": database.dsn,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({**aws, "login": "key", "password": "secret"}),
        }
        most = IN_FLIGHT / LATENCY_S
        yield f"{IN_FLIGHT} calls in flight of {LATENCY_S:g} s: at most {most:.0f} a second"
        yield from table(HEADS, [_measure(database, endpoint, tasks) for tasks in sizes])


if __name__ == "__main__":
    sys.exit(exit_code(measure(sizes_asked("benchmarks.asks", __doc__, TASKS))))
