"""The cost of many tasks of one run in Postgres: requests, lock waits, connections, calls.

Run ``make bench-asks``. It starts a separate Postgres with the settings of the embedded stack, and
the scripted endpoint. Each task is a process with the whole invoke stage and its own connection, as
on ten workers, and works on a batch of the same run. All figures are of the same seconds. The run
may have 400 calls in flight, which take a second each.
"""

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from retrofill.model.calls import Allotment
from retrofill.model.errors import Interrupted
from retrofill.sources.memory import MemorySource
from retrofill.state.lease import BatchLease

from benchmarks import runs
from benchmarks.command import FailedError, exit_code, say, sizes_asked
from benchmarks.event import SOURCE, items
from benchmarks.measure import cpu_s, sampling, server_of
from benchmarks.server import Database, number
from benchmarks.table import table
from benchmarks.task import invoke_task
from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.services import autocommit_cursor, temporary_postgres

TASKS = [10, 50, 200]
IN_FLIGHT = 400
LATENCY_S = 1.0
MEASURED_S = 20.0
SETTLED_S = 5.0
"""Seconds in which the shares of the tasks settle before the measurement."""
ITEMS = 120_000
"""Enough that no batch comes to its end."""
BEGUN_WITHIN_S = 180
CONNECTIONS = 300

HEADS = (
    "tasks", "asks/s", "median ask, ms", "p95 ask, ms", "sessions that wait for a lock",
    "connections", "calls/s", "CPU of Postgres, %",
)  # fmt: skip
_BEGUN = "SELECT count(*) FROM retrofill.batch WHERE epoch > 0"
_SESSIONS = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) - 1
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""


class Ask(NamedTuple):
    """A task's request for its share; times in monotonic seconds, which all processes share."""

    began: float
    took_s: float


def work(batch_id: int, over: Any, reports: Any) -> None:
    """Run an invoke task until it is asked to end; report its requests, or its error."""
    asks: list[Ask] = []

    class CountedLease(BatchLease):
        def allot(self, *args: Any, **kwargs: Any) -> Allotment:
            began = time.monotonic()
            allotment = super().allot(*args, **kwargs)
            asks.append(Ask(began, time.monotonic() - began))
            return allotment

    error = ""
    try:
        with (
            suppress(Interrupted),
            invoke_task(1, lease_type=CountedLease, stop_asked=over.is_set) as invoke,
        ):
            invoke(batch_id)
    except BaseException as raised:  # noqa: BLE001  the parent reports it
        error = f"{type(raised).__name__}: {raised}"
    reports.put((asks, error))


@contextmanager
def active(tasks: int) -> Iterator[tuple[Any, Any]]:
    """Start this many tasks; yield the event that ends them, and the queue of their reports."""
    processes = multiprocessing.get_context("fork")
    over, reports = processes.Event(), processes.Queue()
    started = [processes.Process(target=work, args=(n + 1, over, reports)) for n in range(tasks)]
    for process in started:
        process.start()
    try:
        yield over, reports
    finally:
        for process in started:
            process.kill()
            process.join()


def _plan(database: Database, tasks: int) -> None:
    """Create a run with a batch for each task."""
    database.create()
    with closing(database.connect()) as conn:
        source = MemorySource.of(items(ITEMS), name=SOURCE, page_items=ITEMS)
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
    _plan(database, tasks)
    endpoint.reset()
    sessions: list[tuple[int, int]] = []
    with active(tasks) as (over, reports):
        with closing(database.connect()) as conn:
            server = server_of(conn)
            limit = time.monotonic() + BEGUN_WITHIN_S
            while number(conn, _BEGUN) < tasks:
                if time.monotonic() > limit:
                    raise FailedError(f"not all tasks had begun within {BEGUN_WITHIN_S} s")
                time.sleep(1)
        time.sleep(SETTLED_S)
        with autocommit_cursor(database.dsn) as cur:

            def look() -> None:
                cur.execute(_SESSIONS)
                sessions.extend(cur.fetchall())

            with sampling(look):
                began, calls, cpu = time.monotonic(), endpoint.stats().invocations, cpu_s(server)
                time.sleep(MEASURED_S)
                ended = time.monotonic()
                calls, cpu = endpoint.stats().invocations - calls, cpu_s(server) - cpu
        over.set()
        answers = [reports.get(timeout=BEGUN_WITHIN_S) for _ in range(tasks)]
    if wrong := next((error for _, error in answers if error), ""):
        raise FailedError(f"a task failed: {wrong}")
    if (most := endpoint.stats().max_in_flight) > IN_FLIGHT:
        raise FailedError(f"{most} calls were in flight, more than the {IN_FLIGHT} allowed")
    took = [ask.took_s for asks, _ in answers for ask in asks if began <= ask.began < ended]
    seconds = ended - began
    return [
        f"{tasks}",
        f"{len(took) / seconds:.0f}",
        f"{statistics.median(took) * 1000:.0f}",
        f"{statistics.quantiles(took, n=20)[-1] * 1000:.0f}",
        f"{statistics.mean(waiting for waiting, _ in sessions):.1f}",
        f"{max(connections for _, connections in sessions)}",
        f"{calls / seconds:.0f}",
        f"{cpu / seconds * 100:.0f}",
    ]


def measure(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of the table.

    :raises FailedError: a task fails, or they exceed the limit of their run
    """
    with (
        scripted_endpoint(Script(latency=LATENCY_S, count_items=False)) as endpoint,
        temporary_postgres(durable=True, max_connections=CONNECTIONS) as server,
    ):
        database = Database(server)
        os.environ |= database.environment(endpoint.url)
        most = IN_FLIGHT / LATENCY_S
        yield f"{IN_FLIGHT} calls in flight of {LATENCY_S:g} s: at most {most:.0f} per second"
        yield from table(HEADS, [_measure(database, endpoint, tasks) for tasks in sizes])


if __name__ == "__main__":
    sys.exit(exit_code(measure(sizes_asked("benchmarks.asks", __doc__, TASKS))))
