"""The cost of a whole run on the real stack: Airflow, Postgres, scripted S3 and scripted Lambda.

Run ``python -m benchmarks.whole_run`` (or ``make bench-run``). It starts a separate stack, and runs
the DAG twice over the same objects. Then it runs a DAG with the same number of tasks that do
nothing, to show Airflow's share. Prints tables in Markdown; the exit code is 1 if a count is wrong.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator

from benchmarks.command import FailedError, count, exit_code, options, say
from benchmarks.observe import Observed, observer
from benchmarks.table import table
from stack.endpoint import Bucket, Function, Script

TASKS = (
    "open_run", "list_partitions", "enqueue", "plan_batches", "invoke", "close_run", "next_set",
    "notify",
)  # fmt: skip
NOTHING = '''
"""The tasks of a run of Retrofill, in the same order and number, that do nothing."""

from airflow.sdk import DAG, task

with DAG("nothing", schedule=None, params={"list_partitions": 1, "plan_batches": 1}):

    def step(name):
        @task(task_id=name)
        def do(after=None, params=None):
            return list(range(params.get(name, 1)))

        return do

    partitions = step("list_partitions")(step("open_run")())
    enqueue = step("enqueue").expand(after=partitions)
    batches = step("plan_batches")()
    enqueue >> batches
    invoke = step("invoke").expand(after=batches)
    close = step("close_run")()
    following = step("next_set")(close)
    invoke >> close
    step("notify")(following)
'''
_PERMILLE = 1000


def measure(arguments: Namespace) -> Iterator[str]:
    """Make all runs, and yield the lines of the tables.

    :raises FailedError: a run failed, or a count is wrong
    """
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
    with observer(script, "nothing", NOTHING) as observing:
        say("first run")
        first = observing.retrofill("first", params)
        say("second run")
        second = observing.retrofill("second", params)
        say("tasks that do nothing")
        instances = {
            "list_partitions": _executed(first, "enqueue"),
            "plan_batches": _executed(first, "invoke"),
        }
        nothing = observing.observe("nothing", "floor", instances)
    yield from report(arguments, first, second, nothing)
    if wrong := list(wrong_counts(first, second, arguments)):
        raise FailedError("\n".join(["counts are wrong", *wrong]))


def wrong_counts(first: Observed, second: Observed, arguments: Namespace) -> Iterator[str]:
    """Yield a sentence for each wrong count."""
    objects: int = arguments.objects
    calls: int = first.counts["calls"]
    for what, wanted, found in (
        ("listed by the first run", objects, first.counts["listed"]),
        ("new to the first run", objects, first.counts["new"]),
        ("succeeded in the first run", objects, first.counts["succeeded"]),
        ("calls of the first run, by the endpoint", calls, first.stats.invocations),
        ("items that the endpoint received", objects, first.stats.deliveries),
        ("items that the endpoint received more than once", 0, first.repeated),
        ("listed by the second run", objects, second.counts["listed"]),
        ("known to the second run", objects, second.counts["known"]),
        ("calls of the second run", 0, second.counts["calls"]),
        ("calls of the second run, by the endpoint", 0, second.stats.invocations),
    ):
        if wanted != found:
            yield f"{what}: {found:,}, not {wanted:,}"
    # The last call of a batch may have fewer items.
    fewest_calls = -(-objects // arguments.items_per_call)
    most_calls = fewest_calls + len(first.instances["invoke"])
    if not fewest_calls <= calls - first.counts["retries"] <= most_calls:
        yield f"calls: {calls:,}, not between {fewest_calls:,} and {most_calls:,}"


def report(
    arguments: Namespace, first: Observed, second: Observed, nothing: Observed
) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield (
        f"{arguments.objects:,} objects, {arguments.items_per_call} per call, calls of"
        f" {arguments.latency * _PERMILLE:.0f} ms, at most {arguments.concurrency} in flight"
    )
    yield ""
    runs = (first, second, nothing)
    ours = (first, second)
    counted = ("listed", "new", "known", "succeeded", "calls", "retries", "duplicates")
    by_endpoint = {
        "requests to the endpoint": "requests",
        "invocations": "invocations",
        "items in them": "deliveries",
        "most calls in flight": "max_in_flight",
        "connections": "connections",
    }
    rows = [
        ["wall time, s", *(f"{run.wall_s:.1f}" for run in runs)],
        ["CPU time of the stack, s", *(f"{run.cpu_s:.1f}" for run in runs)],
        ["task instances", *(f"{sum(map(len, run.instances.values()))}" for run in runs)],
        *(
            [f"of these, {task}", *(f"{_executed(run, task)}" for run in runs)]
            for task in ("enqueue", "invoke")
        ),
        *([name, *(f"{run.counts[name]:,}" for run in ours)] for name in counted),
        ["first call sent to last one ended, s", f"{first.calls_s:.2f}"],
        ["calls per s in that time", _rate(first.counts["calls"], first.calls_s)],
        ["items per s in that time", _rate(first.counts["succeeded"], first.calls_s)],
        ["items per s of wall time", *(_rate(run.counts["listed"], run.wall_s) for run in ours)],
        *(
            [what, *(f"{getattr(run.stats, name):,}" for run in ours)]
            for what, name in by_endpoint.items()
        ),
        ["items received more than once", *(f"{run.repeated:,}" for run in ours)],
    ]
    heads = ("", "first run", "second run", "tasks that do nothing")
    yield from table(heads, [[*row, "", ""][: len(heads)] for row in rows])
    for name, run in {"first": first, "second": second}.items():
        yield f"\nThe tasks of the {name} run, times in s from its first task's start:\n"
        yield from table(
            ["task", "instances", "begin", "end", "longest", "peak RSS, MB", "private part, MB"],
            list(_task_rows(run)),
        )


def _task_rows(run: Observed) -> Iterator[list[str]]:
    seen = {task: figures for task in TASKS if (figures := run.task(task))}
    began = seen["open_run"].began
    for task, figures in seen.items():
        # A task that ends before the first sample has no memory.
        memory = (figures.resident_mb, figures.private_mb)
        yield [
            task,
            f"{figures.instances}",
            f"{figures.began - began:.1f}",
            f"{figures.ended - began:.1f}",
            f"{figures.longest_s:.1f}",
            *(f"{mb:.0f}" if figures.resident_mb else "" for mb in memory),
        ]


def _executed(run: Observed, task: str) -> int:
    return sum(one["map_index"] >= 0 for one in run.instances[task])


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if seconds else ""


def _arguments() -> Namespace:
    parser = options("benchmarks.whole_run", __doc__)
    parser.add_argument("--objects", type=count, default=100_000, metavar="N")
    parser.add_argument("--items-per-call", type=count, default=100, metavar="N")
    parser.add_argument("--concurrency", type=count, default=200, metavar="N")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(exit_code(measure(_arguments())))
