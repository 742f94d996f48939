"""What a whole run costs on the real stack: Airflow, Postgres, a scripted S3 and a scripted Lambda.

Run ``python -m benchmarks.whole_run`` (or ``make bench-run``). A stack of its own comes up, the DAG
runs twice over the same objects, then a DAG of as many tasks that do nothing: what is left is
Airflow's. Prints tables in Markdown; the exit code is 1 if a count is not what it must be.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.observe import DAG_ID, Benchmark, FailedRunError, Observed
from benchmarks.table import table
from stack.airflow_api import AirflowApi
from stack.endpoint import (
    Bucket,
    EndpointError,
    Function,
    Script,
    Stats,
)
from stack.scripted import scripted_stack
from stack.settings import StackError

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
_DAG_WITHIN_S = 120
_KB_PER_MB = 1024
_PERMILLE = 1000


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
        buckets=(Bucket(generated=arguments.objects),),
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
            AirflowApi(settings) as airflow,
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
