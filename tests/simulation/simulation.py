"""The whole system, simulated from a seed: two runs of one job at once, and all that may go wrong.

Real are the use cases, the rules and the SQL on a real Postgres. Simulated are time (Postgres' own
too), the source, the function, and Airflow: each task is tried again when its process dies, fails
or is taken for dead. What goes wrong: processes die at fault points; processes stand still for
longer than their lease while another try goes on beside them; commits are lost, or done without an
answer; tasks are told to end; the function throttles, starts up, fails, answers too late or never;
items are poison, for the answer or for the connection.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import psycopg2
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.engine import portions
from retrofill.events import compile_shape
from retrofill.events.form import ROW
from retrofill.faults import Point, injected
from retrofill.model.errors import RetrofillError, RunIncomplete, StateUnavailable
from retrofill.model.report import Report
from retrofill.model.runs import Job, SetRef
from retrofill.pipeline import close_run, enqueue, invoke, list_partitions, plan_batches
from retrofill.state import lease, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.migrate import migrate
from retrofill.state.upkeep import OpenRun

from tests.given import s3_context
from tests.integration.opened import ARN, DELIVERY, FUNCTION, new_run
from tests.invariants import check, look
from tests.simulation.scheduler import Killed, Scheduler, Task
from tests.simulation.world import (
    SimulatedClient,
    SimulatedFunction,
    SimulatedSource,
)

TRIES = (2, 6)
"""How often a task is tried: so seldom that some runs are left incomplete, or often enough."""

IN_TRANSACTION = frozenset({Point.CHUNK_COPIED, Point.SETTLE_WRITTEN})
"""Points where locks are held: a process may die there, but no other goes on meanwhile."""

FAR_FROM_COMMIT = frozenset({Point.CALL_ANSWERED, Point.CALL_SENT, Point.CALLS_SENT})
"""Points where no answer of Postgres is awaited that could be lost."""

STANDING_S = (5.0, 59.0, 65.0, 300.0, 25_000.0)
"""Seconds that a process may stand still: less than its lease, about so long, for hours."""

WATCH_EVERY = 20
"""Turns between two looks at what must always hold."""

_CLOCK = """
CREATE SCHEMA simulated;
CREATE TABLE simulated.clock (moment timestamptz NOT NULL) WITH (fillfactor = 10);
INSERT INTO simulated.clock VALUES (to_timestamp(0));
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN (SELECT moment FROM simulated.clock); END';
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = simulated, pg_catalog', current_database());
END $$
"""

_OVERSPENT = """
SELECT run_id, count(*) FROM retrofill.v_call JOIN retrofill.run USING (run_id)
WHERE job = %s AND coalesce(
    outcome NOT IN ('throttled', 'starting', 'misconfigured', 'too_large'), true
)
GROUP BY run_id, limits HAVING count(*) > (limits ->> 'max_calls')::bigint
"""

_SIZES: dict[ModuleType, dict[str, int | float]] = {
    enqueue: {"CHUNK_ITEMS": 8},
    plan_batches: {"BATCH_ITEMS": 14, "SMALLEST_BATCH": 4},
    portions: {"PORTION_BYTES": 1_000},
}


@dataclass
class Tale:
    """What came to pass under one seed."""

    seed: int
    items: int = 0
    calls: int = 0
    turns: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    """As the job counts them."""
    twice: int = 0
    """How often an item's work was done again, as the function knows."""
    violations: list[str] = field(default_factory=list)


def prepare(dsn: str) -> None:
    """Make the state's schema in an empty database, with a clock that the simulation sets.

    What is unqualified is found in pg_catalog first, unless the search path has it elsewhere.
    """
    with closing(psycopg2.connect(dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(_CLOCK)
    migrate(dsn)


def simulate(dsn: str, seed: int, job: str | None = None, *, rows: bool = False) -> Tale:
    """Live through a seed.

    :param dsn: a database that was prepared; it may hold other jobs
    :param job: what the job is called; None: as the seed
    :param rows: whether the source has rows in no order, with content that is loaded in portions
    """
    return _Simulation(dsn, seed, job or f"seed {seed}", rows=rows).run()


@dataclass
class _Process:
    """One try of a task: what the fault points know of it."""

    name: str
    batch_id: int | None = None
    spared: bool = False
    """Whether nothing may go wrong in it."""
    stop_asked: bool = False
    taken_for_dead: bool = False


class _Simulation:
    def __init__(self, dsn: str, seed: int, job: str, *, rows: bool) -> None:
        self._dsn = dsn
        self._job = job
        self._rows = rows
        self._tale = Tale(seed)
        self._scheduler = Scheduler(seed, self._between)
        rng = self._random = self._scheduler.random
        keys = [f"k{number:03}" for number in range(rng.randint(30, 70))]
        odd = rng.sample(keys, 4)
        self._keys = keys
        self._listed = rng.sample(keys, len(keys)) if rows else keys
        self._poison, self._silencing = frozenset(odd[:2]), frozenset(odd[2:3])
        self._function = SimulatedFunction(self._scheduler, self._poison, self._silencing)
        self._harm = rng.choice((0.0, 0.01, 0.03, 0.06))
        self._source_trouble = rng.choice((0.0, 0.05))
        self._max_items = rng.choice((1_000, 1_000, 20))
        self._tries = rng.choice(TRIES)
        self._second_after_s = rng.choice((0.0, 2.0, 70.0))
        source = (
            {"files": "s3://bucket/k.csv", "event": "items"}
            if rows
            else {"bucket": "bucket", "prefix": "k", "event": "s3"}
        )
        self._config = params_for("rows" if rows else "s3").config(
            {
                **source,
                "function": "f",
                "job": self._job,
                "items_per_call": rng.choice((1, 3, 8)),
                "max_concurrency": rng.choice((3, 12)),
                "max_partitions": 3,
                "max_attempts": 3,
            }
        )
        self._max_calls = rng.choice((None, 25, 60))
        self._ramp_minutes = rng.choice((None, 1))
        self._processes: dict[Task, _Process] = {}
        self._ended: set[str] = set()
        self._live: set[str] = set()
        self._told: list[Report] = []

    def run(self) -> Tale:
        with (
            closing(connect(self._dsn)) as self._watcher,
            closing(connect(self._dsn)) as self._clock,
            self._simulated_surroundings(),
        ):
            self._clock.autocommit = True
            begun = [
                self._scheduler.start(name, lambda name=name, s=wait_s: self._dag_run(name, s))
                for name, wait_s in (("one", 0.0), ("two", self._second_after_s))
            ]
            self._scheduler.run()
            self._reraise(begun)
            # Whatever is left after all that: a run in which nothing goes wrong completes the job.
            self._harm = self._function.trouble = self._source_trouble = 0.0
            self._max_items, self._max_calls = 1_000, None
            # It takes over what a run holds that nobody could close, once its last lease is over.
            wait_s = lease.LEASE_S + 1 if self._is_one_open() else 0.0
            last = self._scheduler.start("last", lambda: self._dag_run("last", wait_s))
            self._scheduler.run()
            self._reraise([last])
            self._watch()
        self._conclude()
        return self._tale

    def _is_one_open(self) -> bool:
        with self._watcher, self._watcher.cursor() as cur:
            cur.execute(
                "SELECT count(*) FROM retrofill.v_run WHERE job = %s AND status = 'open'",
                (self._job,),
            )
            return cur.fetchone() != (0,)

    def _conclude(self) -> None:
        tale, function = self._tale, self._function
        tale.items, tale.calls, tale.turns = len(self._keys), function.calls, self._scheduler.turns
        tale.twice = sum(function.succeeded.values()) - len(function.succeeded)
        with closing(connect(self._dsn)) as conn, conn.cursor() as cur:
            cur.execute(
                "SELECT sum(duplicates)::bigint FROM retrofill.v_run WHERE job = %s", (self._job,)
            )
            (tale.duplicates,) = cur.fetchone() or (0,)
        tale.violations += check(
            self._dsn,
            self._job,
            listed=self._keys,
            executed=function.executed,
            succeeded=function.succeeded,
            poison=self._poison | self._silencing,
        )

    def _between(self) -> None:
        with self._clock.cursor() as cur:
            cur.execute("UPDATE clock SET moment = to_timestamp(%s)", (self._scheduler.now,))
        if self._scheduler.turns % WATCH_EVERY == 0:
            self._watch()

    def _watch(self) -> None:
        found = look(self._watcher, self._job, self._function.seen)
        with self._watcher, self._watcher.cursor() as cur:
            cur.execute(_OVERSPENT, (self._job,))
            found += [f"max_calls: run {run_id} made {calls} calls that may have run the function"
                      for run_id, calls in cur]  # fmt: skip
        self._tale.violations += [one for one in found if one not in self._tale.violations]

    @contextmanager
    def _simulated_surroundings(self) -> Iterator[None]:
        clock = SimpleNamespace(monotonic=lambda: self._scheduler.now, sleep=self._scheduler.pause)
        with ExitStack() as stack:
            for module in (close_run, enqueue, invoke, lease):
                stack.enter_context(patch.object(module, "time", clock))
            for module, sizes in _SIZES.items():
                stack.enter_context(patch.multiple(module, **sizes))
            stack.enter_context(patch.object(invoke, "random", self._random))
            stack.enter_context(injected(self._at))
            yield

    # Airflow: a DAG run, its tasks, their tries.

    def _dag_run(self, name: str, wait_s: float = 0.0) -> None:
        self._scheduler.pause(wait_s)
        with closing(connect(self._dsn)) as conn:
            dag_run_id = f"{self._job} {name}"
            self._live.add(dag_run_id)
            ref = self._open(conn, dag_run_id)
            while self._set(conn, f"{name}{ref.set_no}", ref):
                self._live.discard(dag_run_id)
                dag_run_id = ref.next_dag_run_id(dag_run_id)
                self._live.add(dag_run_id)
                ref = SetRef(ref.run_id, ref.set_no + 1)
            tell = self._told.append
            self._task(f"{name} notify", lambda _: close_run.conclude(conn, ref, self, tell))
            self._live.discard(dag_run_id)

    most_mapped = 1_024

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        del dag_id
        return not self._live.isdisjoint(dag_run_ids)

    def tell_abandoned(self, conn: connection, run: OpenRun) -> None:
        self._told.append(runs.get_report(conn, run.run_id))

    def tell_if_paused(self, conn: connection, run: OpenRun) -> None:
        """Say nothing: no DAG is paused."""

    def _open(self, conn: connection, dag_run_id: str) -> SetRef:
        job = Job(self._job, "f" * 32, "s3://bucket", ARN, "s3")
        new = new_run(
            runs.remember_job(conn, job),
            dag_run_id,
            delivery=replace(DELIVERY, items_per_call=self._config.calls.items_per_call or 1),
            max_concurrency=self._config.limits.max_concurrency,
            max_items_per_set=self._max_items,
            max_calls=self._max_calls,
            ramp_minutes=self._ramp_minutes,
            config=self._config.as_json(),
            dag_id="simulated",
        )
        return runs.open_run(conn, new, replace(FUNCTION, timeout_s=1))

    def _set(self, conn: connection, name: str, ref: SetRef) -> bool:
        """Run the tasks of one DAG run; return whether it asks for another."""
        parts = self._task(
            f"{name} list",
            lambda _: list_partitions.list_partitions(conn, ref, self._config, self._source()),
        )
        self._mapped(
            {
                f"{name} enqueue {part['part_no']}": self._enqueue(ref, part["part_no"])
                for part in parts or ()
            }
        )
        planned = self._task(f"{name} plan", lambda _: plan_batches.plan_batches(conn, ref, self))
        self._mapped(
            {
                f"{name} invoke {batch['batch_id']}": self._invoke(ref, batch["batch_id"])
                for batch in planned or ()
            }
        )
        return bool(self._task(f"{name} close", lambda _: close_run.close_run(conn, ref, self)))

    def _source(self) -> SimulatedSource:
        # Pages are read ahead in a thread of its own: what it draws, no other may draw meanwhile.
        own = Random(self._random.random())  # noqa: S311  as the scheduler's
        return SimulatedSource(self._listed, own, self._source_trouble, rows=self._rows)

    def _enqueue(self, ref: SetRef, part_no: int) -> Callable[[_Process], object]:
        def work(_: _Process) -> object:
            with closing(connect(self._dsn)) as conn:
                return enqueue.enqueue(conn, ref, part_no, self._source())

        return work

    def _invoke(self, ref: SetRef, batch_id: int) -> Callable[[_Process], object]:
        def work(process: _Process) -> object:
            process.batch_id = batch_id
            with closing(connect(self._dsn)) as conn:
                run = runs.get_run(conn, ref.run_id)
            context = s3_context(
                bucket="bucket",
                configuration_id="retrofill",
                function_arn=run.function.name,
                job=run.job,
                run_id=run.run_id,
            )
            if self._rows:
                context = replace(context, form=ROW, place={}, trigger={})
            with closing(BatchLease(self._dsn, batch_id, process.name)) as lease:
                if not invoke.take(lease, holder_is_dead=self._ended.__contains__):
                    return None
                return invoke.Invoker(
                    lease=lease,
                    client=SimulatedClient(self._scheduler, self._function),  # type: ignore[arg-type]
                    shape=compile_shape("items" if self._rows else "s3", context),
                    run=run,
                    config=self._config,
                    stop_asked=lambda: process.stop_asked,
                ).run()

        return work

    def _mapped(self, works: dict[str, Callable[[_Process], object]]) -> None:
        """Run the mapped instances of a task beside each other, until each has come to an end."""
        tasks = [
            self._scheduler.start(name, lambda name=name, work=work: self._task(name, work))
            for name, work in works.items()
        ]
        if tasks:
            self._scheduler.pause(float("inf"), lambda: all(task.ended for task in tasks))
        self._reraise(tasks)

    def _task(self, name: str, work: Callable[[_Process], object]) -> Any:
        """Try a task until it succeeds, as Airflow does; return what it returned."""
        for number in range(1, self._tries + 1):
            # Where tasks are tried often, the last try is spared: the run is to be complete.
            spared = number == self._tries == max(TRIES)
            process = _Process(f"{self._job} {name} try {number}", spared=spared)
            task = self._scheduler.start(process.name, lambda process=process: work(process))
            self._processes[task] = process
            self._scheduler.pause(
                float("inf"),
                lambda task=task, process=process: task.ended or process.taken_for_dead,
            )
            if not task.ended:
                continue
            self._ended.add(process.name)
            if task.error is None:
                return task.result
            if isinstance(task.error, RunIncomplete) and name.endswith((" close", " notify")):
                return False
            self._reraise([task])
        return None

    @staticmethod
    def _reraise(tasks: list[Task]) -> None:
        """Tell of errors that are no part of the tale."""
        for task in tasks:
            if task.error and not isinstance(task.error, (Killed, RetrofillError)):
                raise task.error

    # What goes wrong at a fault point, or in between.

    def _at(self, point: Point) -> None:
        task = self._scheduler.current
        process = self._processes.get(task) if task else None
        if process is None:
            return
        if not process.spared and self._random.random() < self._harm:
            self._go_wrong(point, process)
        elif point not in IN_TRANSACTION:
            self._scheduler.pause()

    def _go_wrong(self, point: Point, process: _Process) -> None:
        kinds = ["killed", "killed", "answer lost"]
        if process.batch_id is not None and point is not Point.SETTLE_WRITTEN:
            kinds += ["stood still", "stood still", "told to end"]
        elif point is Point.CHUNK_COMMITTED:
            kinds += ["stood still"]
        kind = self._random.choice(kinds)
        if kind == "answer lost" and point in FAR_FROM_COMMIT:
            kind = "killed"
        self._tale.faults[kind] += 1
        match kind:
            case "killed":
                raise Killed(point)
            case "answer lost":
                raise StateUnavailable(f"injected at {point}")
            case "told to end":
                process.stop_asked = True
            case "stood still":
                self._stand_still(process)

    def _stand_still(self, process: _Process) -> None:
        """Stop a process for so long that its lease ends and Airflow tries the task again."""
        process.taken_for_dead = True
        process.spared = True
        self._scheduler.pause(self._random.choice(STANDING_S))
