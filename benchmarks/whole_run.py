"""What a whole run costs on the real stack: Airflow, Postgres, a scripted S3 and a scripted Lambda.

Run ``python -m benchmarks.whole_run`` (or ``make bench-run``). A stack of its own comes up, the DAG
runs twice over the same objects, then a DAG of as many tasks that do nothing: what is left is
Airflow's. Prints tables in Markdown; the exit code is 1 if a count is not what it must be.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil
import psycopg2
import psycopg2.extras

from benchmarks.table import table
from demo.airflow import AirflowApi
from stack.endpoint import (
    Bucket,
    EndpointError,
    Function,
    GeneratedObjects,
    Script,
    ScriptedEndpoint,
    Stats,
)
from stack.scripted import scripted_stack
from stack.settings import Settings, StackError

DAG_ID = "retrofill_s3"
TASKS = (
    "open_run", "list_partitions", "enqueue", "plan_batches", "invoke", "close_run", "next_set",
    "notify",
)  # fmt: skip
NOTHING = '''
"""As many tasks as a run of Retrofill has, in the same order, that do nothing."""

from airflow.sdk import DAG, task

with DAG("nothing", schedule=None, params={"enqueue": 1, "invoke": 1}):

    def step(name):
        @task(task_id=name)
        def do(after=None):
            return True

        return do

    def several(name, kind):
        @task(task_id=name)
        def do(after=None, params=None):
            return list(range(params[kind]))

        return do

    partitions = several("list_partitions", "enqueue")(step("open_run")())
    enqueue = step("enqueue").expand(after=partitions)
    batches = several("plan_batches", "invoke")()
    enqueue >> batches
    invoke = step("invoke").expand(after=batches)
    close = step("close_run")()
    following = step("next_set")(close)
    invoke >> close
    step("notify")(following)
'''
_ENDS = {"success", "failed"}
_DAG_WITHIN_S = 120
_ASK_EVERY_S = 0.5
_LOOK_EVERY_S = 0.1
_MAY_TAKE_S = 3600
_PAGE = 100
_TASK_TITLE = b"airflow worker -- "
_SUPERVISOR_TITLE = b"airflow worker -- LocalExecutor"
_KB_PER_MB = 1024
_PERMILLE = 1000


class FailedRunError(Exception):
    """A DAG run failed or did not end."""


@dataclass
class Memory:
    """The most memory that one process of a task had, in kB."""

    resident: int = 0
    """As the kernel's own high-water mark says."""

    private: int = 0
    """Of it not shared with the process it was forked from, as far as it was seen."""


class MemoryWatch:
    """Looks at the processes of Airflow's tasks while a block runs, those of any stack.

    Formats: VmHWM of /proc/PID/status and Private_* of /proc/PID/smaps_rollup, proc(5).
    """

    def __init__(self) -> None:
        self.of_task: defaultdict[str, Memory] = defaultdict(Memory)
        """By the id of the task instance."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    self._look(process)
                except OSError:  # it has ended
                    continue

    def _look(self, process: Path) -> None:
        title = (process / "cmdline").read_bytes()
        if not title.startswith(_TASK_TITLE) or title.startswith(_SUPERVISOR_TITLE):
            return
        seen = self.of_task[title.removeprefix(_TASK_TITLE).rstrip(b"\0 ").decode()]
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                seen.resident = max(seen.resident, int(line.split()[1]))
        private = sum(
            int(line.split()[1])
            for line in (process / "smaps_rollup").read_text().splitlines()
            if line.startswith("Private_")
        )
        seen.private = max(seen.private, private)


class ObservedAirflow(AirflowApi):
    """The API with what a benchmark asks besides."""

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self._asked("GET", f"{path}?limit={_PAGE}&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found


@dataclass
class Observed:
    """What was seen of one DAG run."""

    wall_s: float
    instances: dict[str, list[dict[str, Any]]]
    """By task."""
    memory: dict[str, Memory]
    """By the id of the task instance."""
    cpu_s: float
    """Seconds of CPU that the stack took: Airflow, its tasks and Postgres, not the endpoint."""
    stats: Stats | None = None
    """What the endpoint counted; None: it was not part of the run."""
    repeated: int = 0
    """Items that the endpoint got more than once."""
    counts: dict[str, Any] = field(default_factory=dict)
    """The run's row of v_run."""
    calls_s: float = 0.0
    """Seconds from the first call's leaving to the last one's end."""

    @property
    def tasks(self) -> int:
        """How many task instances there were."""
        return sum(len(instances) for instances in self.instances.values())


class Benchmark:
    """Runs DAGs and observes them."""

    def __init__(
        self, settings: Settings, airflow: ObservedAirflow, endpoint: ScriptedEndpoint
    ) -> None:
        self._dsn = settings.state_dsn
        supervisor = int((settings.directory / "supervisord.pid").read_text())
        self._supervisor = psutil.Process(supervisor)
        self._airflow = airflow
        self._endpoint = endpoint

    def observe(self, dag_id: str, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run a DAG to its end.

        :raises FailedRunError: it failed; the message tells why
        """
        with MemoryWatch() as watch:
            began, cpu_s = time.monotonic(), self._cpu_s()
            self._airflow.trigger(dag_id, dag_run_id, params)
            self._await_end(dag_id, dag_run_id)
            wall_s, cpu_s = time.monotonic() - began, self._cpu_s() - cpu_s
        instances: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self._airflow.task_instances(dag_id, dag_run_id):
            instances[one["task_id"]].append(one)
        return Observed(wall_s, instances, watch.of_task, cpu_s)

    def retrofill(self, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run the DAG ``retrofill``, and read what it and the endpoint counted."""
        self._endpoint.reset()
        seen = self.observe(DAG_ID, dag_run_id, params)
        seen.stats = self._endpoint.stats()
        seen.repeated = len(self._endpoint.items(above=1, of="received"))
        with (
            closing(psycopg2.connect(self._dsn)) as conn,
            conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
        ):
            cursor.execute("SELECT * FROM retrofill.v_run ORDER BY run_id DESC LIMIT 1")
            (row,) = cursor.fetchall()
            cursor.execute(
                "SELECT coalesce(extract(epoch FROM max(ended_at) - min(sent_at)), 0)::float AS s"
                " FROM retrofill.v_call WHERE run_id = %s",
                (row["run_id"],),
            )
            (times,) = cursor.fetchall()
        seen.counts, seen.calls_s = dict(row), times["s"]
        return seen

    def _cpu_s(self) -> float:
        total = 0.0
        for process in [self._supervisor, *self._supervisor.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # what it took counts with its parent
                total += sum(process.cpu_times()[:4])
        return total

    def _await_end(self, dag_id: str, dag_run_id: str) -> None:
        limit = time.monotonic() + _MAY_TAKE_S
        while (state := self._airflow.run_state(dag_id, dag_run_id)) not in _ENDS:
            if time.monotonic() > limit:
                raise FailedRunError(f"{dag_run_id} has not ended after {_MAY_TAKE_S} s")
            time.sleep(_ASK_EVERY_S)
        if state == "failed":
            lines = [f"{dag_run_id} failed", *self._airflow.failures(dag_id, dag_run_id)]
            raise FailedRunError("\n".join(lines))


def wrong_counts(first: Observed, second: Observed, arguments: argparse.Namespace) -> list[str]:
    """Return a sentence for each count that is not what it must be."""
    objects: int = arguments.objects
    fewest_calls = -(-objects // arguments.items_per_call)
    stats = [run.stats for run in (first, second) if run.stats is not None]
    expected = {
        "listed by the first run": (objects, first.counts["listed"]),
        "new to the first run": (objects, first.counts["new"]),
        "succeeded in the first run": (objects, first.counts["succeeded"]),
        "calls of the first run, by the endpoint": (
            first.counts["calls"],
            stats[0].invocations,
        ),
        "items that the endpoint got": (objects, stats[0].deliveries),
        "items that the endpoint got more than once": (0, first.repeated),
        "listed by the second run": (objects, second.counts["listed"]),
        "known to the second run": (objects, second.counts["known"]),
        "calls of the second run": (0, second.counts["calls"]),
        "calls of the second run, by the endpoint": (0, stats[1].invocations),
    }
    wrong = [
        f"{what}: {found:,}, not {wanted:,}"
        for what, (wanted, found) in expected.items()
        if wanted != found
    ]
    # A batch ends with a call that may not be full.
    most_calls = fewest_calls + len(first.instances["invoke"])
    if not fewest_calls <= first.counts["calls"] - first.counts["retries"] <= most_calls:
        calls = first.counts["calls"]
        wrong.append(f"calls: {calls:,}, not between {fewest_calls:,} and {most_calls:,}")
    return wrong


def report(
    arguments: argparse.Namespace, first: Observed, second: Observed, nothing: Observed
) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield (
        f"{arguments.objects:,} objects, {arguments.items_per_call} per call, calls of"
        f" {arguments.latency * _PERMILLE:.0f} ms, at most {arguments.concurrency} at once"
    )
    yield ""
    runs = (first, second, nothing)
    yield from table(
        ["", "first run", "second run", "tasks that do nothing"],
        [
            ["wall time, s", *(f"{run.wall_s:.1f}" for run in runs)],
            ["CPU time of the stack, s", *(f"{run.cpu_s:.1f}" for run in runs)],
            ["task instances", *(f"{run.tasks}" for run in runs)],
            *(
                [f"of them {task}", *(f"{_executed(run, task)}" for run in runs)]
                for task in ("enqueue", "invoke")
            ),
            *(
                [name, f"{first.counts[name]:,}", f"{second.counts[name]:,}", ""]
                for name in (
                    "listed", "new", "known", "succeeded", "calls", "retries", "duplicates"
                )
            ),
            ["first call sent to last one ended, s", f"{first.calls_s:.2f}", "", ""],
            ["calls per s in that time", _rate(first.counts["calls"], first.calls_s), "", ""],
            ["items per s in that time", _rate(first.counts["succeeded"], first.calls_s), "", ""],
            ["items per s of wall time", _rate(first.counts["listed"], first.wall_s),
             _rate(second.counts["listed"], second.wall_s), ""],
            *_endpoint_rows(first.stats, second.stats),
            ["items that came more than once", f"{first.repeated:,}", f"{second.repeated:,}", ""],
        ],
    )  # fmt: skip
    for name, run in {"first": first, "second": second}.items():
        yield ""
        yield f"The tasks of the {name} run, times in s from its first task's start:"
        yield ""
        yield from table(
            ["task", "instances", "begin", "end", "longest", "peak RSS, MB", "of it private, MB"],
            list(_task_rows(run)),
        )


def _endpoint_rows(first: Stats | None, second: Stats | None) -> Iterator[list[str]]:
    if first is None or second is None:
        return
    for what, name in {
        "requests to the endpoint": "requests",
        "invocations it got": "invocations",
        "items in them": "deliveries",
        "most calls in flight there": "max_in_flight",
        "connections": "connections",
    }.items():
        yield [what, f"{getattr(first, name):,}", f"{getattr(second, name):,}", ""]


def _task_rows(run: Observed) -> Iterator[list[str]]:
    began = min(_moment(one["start_date"]) for one in run.instances["open_run"])
    for task in TASKS:
        executed = [one for one in run.instances[task] if one["start_date"] and one["end_date"]]
        if not executed or (executed[0]["state"] == "skipped" and executed[0]["map_index"] < 0):
            continue
        starts = [_moment(one["start_date"]) - began for one in executed]
        ends = [_moment(one["end_date"]) - began for one in executed]
        # A task that is over sooner than it is looked at has none.
        memory = [run.memory[one["id"]] for one in executed if one["id"] in run.memory]
        yield [
            task,
            f"{len(executed)}",
            f"{min(starts):.1f}",
            f"{max(ends):.1f}",
            f"{max(end - start for start, end in zip(starts, ends, strict=True)):.1f}",
            f"{max(one.resident for one in memory) / _KB_PER_MB:.0f}" if memory else "",
            f"{max(one.private for one in memory) / _KB_PER_MB:.0f}" if memory else "",
        ]


def _executed(run: Observed, task: str) -> int:
    return sum(one["map_index"] >= 0 for one in run.instances[task])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if seconds else ""


@contextmanager
def _dags() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="retrofill-dags-") as directory:
        (Path(directory) / "nothing.py").write_text(NOTHING)
        yield Path(directory)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=100_000, metavar="N")
    parser.add_argument("--items-per-call", type=int, default=100, metavar="N")
    parser.add_argument("--concurrency", type=int, default=200, metavar="N")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    return parser.parse_args()


def main() -> int:
    """Run it all; return the exit code."""
    arguments = _arguments()
    script = Script(
        buckets=(Bucket(generated=GeneratedObjects(count=arguments.objects)),),
        functions=(Function(),),
        latency=arguments.latency,
    )
    params = {
        "bucket": script.buckets[0].name,
        "prefix": "data/",
        "function": script.functions[0].name,
        "event": "s3",
        "items_per_call": arguments.items_per_call,
        "max_concurrency": arguments.concurrency,
    }
    try:
        with (
            _dags() as dags,
            scripted_stack(script, dags=dags, say=_say) as (settings, endpoint),
            ObservedAirflow(settings) as airflow,
        ):
            for dag_id in (DAG_ID, "nothing"):
                airflow.unpause(dag_id, within_s=_DAG_WITHIN_S)
            benchmark = Benchmark(settings, airflow, endpoint)
            # The first run after a start pays for what Airflow loads once.
            benchmark.observe("nothing", "warming", {})
            _say("first run")
            first = benchmark.retrofill("first", params)
            _say("second run")
            second = benchmark.retrofill("second", params)
            _say("tasks that do nothing")
            mapped = {task: _executed(first, task) for task in ("enqueue", "invoke")}
            nothing = benchmark.observe("nothing", "floor", mapped)
    except (StackError, EndpointError, FailedRunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*report(arguments, first, second, nothing), sep="\n")
    wrong = wrong_counts(first, second, arguments)
    for sentence in wrong:
        print(f"wrong: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
