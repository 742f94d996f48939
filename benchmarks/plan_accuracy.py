"""The accuracy of plans: calls, cost and time, forecast after a canary, against the actual ones.

Run ``python -m benchmarks.plan_accuracy`` (or ``make plan-accuracy``). Each row is a whole run of
the product, from the params to the closed run, with a real Postgres and tasks that are processes.
The other end counts calls and cost: a scripted S3 and Lambda or, in the last row, the embedded
emulator of AWS with a real function. The emulator does not report what it bills, so the cost is the
run's own upper bound. Prints a table in Markdown; the exit code is 1 if a forecast is off by more
than allowed.
"""

import os
import random
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch
from zipfile import ZipFile

import boto3
from retrofill.engine.fit import Range

from benchmarks.command import FailedError, count, exit_code, options, say
from benchmarks.passage import Passed, pass_through
from benchmarks.server import Database
from benchmarks.table import table
from stack.endpoint import Bucket, Function, Reply, Rule, S3Object, Script, scripted_endpoint
from stack.scripted import clean_environment
from stack.services import MiniStack, free_port, running, temporary_postgres

FIGURES = {"calls": ("{:,.0f}", 0.0), "cost": ("${:.5f}", 0.05), "seconds": ("{:.1f} s", 0.25)}
"""How to show each figure, and the largest error of its forecast: a fraction of the actual one."""
_RUNS = 3
_MEMORY_MB = 512
_PER_CALL = 0.2e-6
_PER_SECOND = 0.0000166667 * _MEMORY_MB / 1_024
_TENTH_OF_A_MB = 100_000


class Case(NamedTuple):
    """A run, and its function."""

    name: str
    items: int
    canary: int
    items_per_call: int
    max_concurrency: int
    script: Script = Script()
    """What the function does."""
    scatter: float = 0.0
    """The standard deviation of the logarithm of the objects' sizes."""


CASES = (
    Case("one item per call", 10_000, 200, 1, 100, Script(latency=0.25)),
    Case(
        "100 per call, mixed sizes", 20_000, 2_000, 100, 10,
        Script(latency=0.2, seconds_per_mb=0.05), scatter=1.0,
    ),
    Case(
        "time depends on size", 10_000, 200, 1, 100,
        Script(latency=0.05, seconds_per_mb=1.5), scatter=1.0,
    ),
    Case(
        "time scatters randomly", 20_000, 200, 1, 100,
        Script(
            latency=0.15,
            rules=(
                Rule(probability=0.2, reply=Reply(delay=0.2)),
                Rule(probability=0.3, reply=Reply(delay=0.1)),
            ),
        ),
    ),
)  # fmt: skip
EMULATED = Case("a real function on the emulator", 100, 20, 1, 2)


class Figure(NamedTuple):
    """A forecast, and the actual value."""

    forecast: Range
    actual: float

    @property
    def off(self) -> float:
        """The error of the forecast, as a fraction of the actual value."""
        return (self.forecast.likely or 0.0) / self.actual - 1


def compared(passed: Passed, calls: int, cost: float) -> dict[str, Figure]:
    """Compare the forecasts of a run with the counts of the other end, by name.

    :raises FailedError: nothing was forecast
    """
    dollars, seconds = passed.forecast.dollars or Range.exactly(0.0), passed.forecast.seconds
    if dollars.likely is None or seconds.likely is None:
        raise FailedError("the canary measured no duration")
    return {
        "calls": Figure(Range.exactly(passed.planned_calls), calls),
        "cost": Figure(dollars, cost),
        "seconds": Figure(seconds, passed.seconds),
    }


def run_scripted(case: Case, database: Database, seed: int) -> dict[str, Figure]:
    """Make a run of a case against the scripted endpoint."""
    rng = random.Random(seed)  # noqa: S311
    objects = tuple(
        S3Object(
            key=f"data/{number:06}",
            size=int(_TENTH_OF_A_MB * rng.lognormvariate(0, case.scatter)),
        )
        for number in range(case.items)
    )
    script = replace(
        case.script,
        buckets=(Bucket(name="bucket", objects=objects),),
        functions=(Function(name="f", memory_mb=_MEMORY_MB),),
        count_items=False,
    )
    database.create()
    with scripted_endpoint(script) as endpoint, _tasks_use(database, endpoint.url):
        passed = pass_through(_params(case))
        stats = endpoint.stats()
    cost = stats.invocations * _PER_CALL + stats.billed_ms / 1_000 * _PER_SECOND
    return compared(passed, stats.invocations, cost + _listing(passed))


HANDLER = """
import time

def handle(event, context):
    time.sleep(0.5)
"""


def run_emulated(database: Database, directory: Path) -> dict[str, Figure]:
    """Make a run against the emulator of AWS, whose function is real."""
    server = MiniStack(directory, free_port(), durable=False)
    database.create()
    with running(server), _tasks_use(database, server.endpoint_url):
        session = boto3.Session("test", "test", region_name="us-east-1")
        s3 = session.client("s3", endpoint_url=server.endpoint_url)
        functions = session.client("lambda", endpoint_url=server.endpoint_url)
        code = BytesIO()
        with ZipFile(code, "w") as archive:
            archive.writestr("handler.py", HANDLER)
        s3.create_bucket(Bucket="bucket")
        for number in range(EMULATED.items):
            s3.put_object(Bucket="bucket", Key=f"data/{number:06}", Body=b"")
        functions.create_function(
            FunctionName="f",
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/r",
            Handler="handler.handle",
            Code={"ZipFile": code.getvalue()},
            Timeout=10,
            MemorySize=_MEMORY_MB,
        )
        functions.get_waiter("function_active_v2").wait(FunctionName="f")
        passed = pass_through(_params(EMULATED))
        logs = session.client("logs", endpoint_url=server.endpoint_url)
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/f")
        lines = [event["message"] for page in pages for event in page["events"]]
    calls = sum(line.startswith("REPORT ") for line in lines)
    # The emulator's responses do not report what is billed: run and forecast use an upper bound.
    return compared(passed, calls, passed.cost + _listing(passed))


def _params(case: Case) -> dict[str, Any]:
    return {
        "bucket": "bucket",
        "prefix": "data/",
        "function": "f",
        "event": "s3",
        "canary": case.canary,
        "items_per_call": case.items_per_call,
        "max_concurrency": case.max_concurrency,
    }


def _listing(passed: Passed) -> float:
    """Return the forecast cost of the listing, which the other end does not count."""
    return sum(
        term.dollars.high
        for term in passed.forecast.terms
        if term.name == "listing" and term.dollars
    )


def _tasks_use(database: Database, aws_url: str) -> AbstractContextManager[object]:
    variables = {**clean_environment(), **database.environment(aws_url)}
    return patch.dict(os.environ, variables, clear=True)


def lines(arguments: Namespace) -> Iterator[str]:
    """Make all runs, and yield the lines of the table.

    :raises FailedError: a run failed, or a forecast is off by more than allowed
    """
    rows: list[list[str]] = []
    wrong: list[str] = []
    with temporary_postgres(durable=False) as server, TemporaryDirectory() as directory:
        database = Database(server)
        scripted = [
            (case, partial(run_scripted, case, database, number))
            for case in CASES
            for number in range(arguments.runs)
        ]
        for case, run in [*scripted, (EMULATED, partial(run_emulated, database, Path(directory)))]:
            if arguments.case not in case.name:
                continue
            say(case.name)
            cells = [f"{case.name} ({case.canary:,} of {case.items:,})"]
            for name, figure in run().items():
                form, allowed = FIGURES[name]
                low, likely, high = (form.format(one) for one in figure.forecast)
                spread = "" if figure.forecast.is_exact else f" ({low} to {high})"
                cells += [likely + spread, form.format(figure.actual), f"{figure.off:+.1%}"]
                if abs(figure.off) > allowed:
                    wrong.append(
                        f"{case.name}: {name} off by {figure.off:+.1%}, at most {allowed:.0%}"
                    )
            say(" | ".join(cells))
            rows.append(cells)
    heads = [f"{name}: {what}" for name in FIGURES for what in ("forecast", "actual", "off")]
    yield from table(["run", *heads], rows)
    if wrong:
        raise FailedError("\n".join(["some forecasts are too far off", *wrong]))


if __name__ == "__main__":
    parser = options("benchmarks.plan_accuracy", __doc__)
    parser.add_argument("--runs", type=count, default=_RUNS, help="runs of each row")
    parser.add_argument("--case", default="", help="only rows whose name has this text")
    sys.exit(exit_code(lines(parser.parse_args())))
