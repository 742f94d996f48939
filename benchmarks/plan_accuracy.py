"""The accuracy of plans: calls, cost and time, forecast after a canary, against what happens.

Run ``python -m benchmarks.plan_accuracy`` (or ``make plan-accuracy``). Each row is a whole run on
the product's own path, from the params to the closed run, with a real Postgres and tasks that are
processes. What happens is counted by the other end: a scripted S3 and Lambda or, in the last row,
the embedded emulator of AWS with a real function. The emulator does not report what it bills, so
the cost is the run's own upper bound. Prints a table in Markdown; the exit code is 1 if a forecast
is off by more than allowed.
"""

import json
import os
import random
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
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

MOST_OFF = {"calls": 0.0, "cost": 0.05, "seconds": 0.25}
"""How far off a forecast may be, as a fraction of what happened."""

_RUNS = 3
_MEMORY_MB = 512
_PER_CALL = 0.2e-6
_PER_SECOND = 0.0000166667 * _MEMORY_MB / 1_024
_TENTH_OF_A_MB = 100_000


class Case(NamedTuple):
    """What to run, and against what."""

    name: str
    items: int
    canary: int
    params: dict[str, Any]
    function: dict[str, Any]
    """What the function does, in the terms of a script."""

    scatter: float = 0.0
    """The standard deviation of the logarithm of the objects' sizes."""


CASES = (
    Case(
        "one item per call",
        10_000,
        200,
        {"items_per_call": 1, "max_concurrency": 100},
        {"latency": 0.25},
    ),
    Case(
        "100 per call, mixed sizes",
        20_000,
        2_000,
        {"items_per_call": 100, "max_concurrency": 10},
        {"latency": 0.2, "seconds_per_mb": 0.05},
        scatter=1.0,
    ),
    Case(
        "time depends on size",
        10_000,
        200,
        {"items_per_call": 1, "max_concurrency": 100},
        {"latency": 0.05, "seconds_per_mb": 1.5},
        scatter=1.0,
    ),
    Case(
        "time scatters randomly",
        20_000,
        200,
        {"items_per_call": 1, "max_concurrency": 100},
        {
            "latency": 0.15,
            "rules": (
                Rule(probability=0.2, reply=Reply(delay=0.2)),
                Rule(probability=0.3, reply=Reply(delay=0.1)),
            ),
        },
    ),
)


EMULATED = Case(
    "a real function on the emulator",
    100,
    20,
    {"items_per_call": 1, "max_concurrency": 2},
    {},
)


class Figures(NamedTuple):
    """What a run takes."""

    calls: float
    cost: float
    seconds: float


class Measured(NamedTuple):
    """One run: its forecast with bounds, and what happened."""

    predicted: Figures
    low: Figures
    high: Figures
    happened: Figures

    @property
    def off(self) -> Figures:
        """How far off each forecast is, as a fraction of what happened."""
        pairs = zip(self.predicted, self.happened, strict=True)
        return Figures(*(predicted / real - 1 for predicted, real in pairs))


def measured(passed: Passed, calls: int, cost: float) -> Measured:
    """Compare the forecast with what the other end has counted."""
    dollars = passed.forecast.dollars or Range.exactly(0.0)
    seconds = passed.forecast.seconds
    if dollars.likely is None or seconds.likely is None:
        raise FailedError("the canary has measured nothing")
    return Measured(
        Figures(passed.planned_calls, dollars.likely, seconds.likely),
        Figures(passed.planned_calls, dollars.low, seconds.low),
        Figures(passed.planned_calls, dollars.high, seconds.high),
        Figures(calls, cost, passed.seconds),
    )


def run_scripted(case: Case, database: Database, seed: int) -> Measured:
    """Make a run of a case against the scripted endpoint."""
    rng = random.Random(seed)  # noqa: S311
    objects = tuple(
        S3Object(
            key=f"data/{number:06}",
            size=int(_TENTH_OF_A_MB * rng.lognormvariate(0, case.scatter)),
        )
        for number in range(case.items)
    )
    script = Script(
        buckets=(Bucket(name="bucket", objects=objects),),
        functions=(Function(name="f", memory_mb=_MEMORY_MB),),
        count_items=False,
        **case.function,
    )
    database.fresh()
    with scripted_endpoint(script) as endpoint, _environment(database, endpoint.url):
        passed = pass_through(_params(case))
        stats = endpoint.stats()
    cost = stats.invocations * _PER_CALL + stats.billed_ms / 1_000 * _PER_SECOND
    return measured(passed, stats.invocations, cost + _listing(passed))


HANDLER = """
import time

def handle(event, context):
    time.sleep(0.5)
"""


def run_emulated(database: Database, directory: Path) -> Measured:
    """Make a run against the emulator of AWS, whose function is real."""
    server = MiniStack(directory, free_port(), durable=False)
    database.fresh()
    with running(server), _environment(database, server.endpoint_url):
        session = boto3.Session("test", "test", region_name="us-east-1")
        s3, functions = (
            session.client(name, endpoint_url=server.endpoint_url) for name in ("s3", "lambda")
        )
        s3.create_bucket(Bucket="bucket")
        for number in range(EMULATED.items):
            s3.put_object(Bucket="bucket", Key=f"data/{number:06}", Body=b"")
        functions.create_function(
            FunctionName="f",
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/r",
            Handler="handler.handle",
            Code={"ZipFile": _zipped(HANDLER)},
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
    return measured(passed, calls, passed.cost + _listing(passed))


def _zipped(handler: str) -> bytes:
    code = BytesIO()
    with ZipFile(code, "w") as archive:
        archive.writestr("handler.py", handler)
    return code.getvalue()


def _params(case: Case) -> dict[str, Any]:
    return {
        "bucket": "bucket",
        "prefix": "data/",
        "function": "f",
        "event": "s3",
        "canary": case.canary,
        **case.params,
    }


def _listing(passed: Passed) -> float:
    """Return the forecast cost of the listing, which the other end does not count."""
    return sum(
        term.dollars.high
        for term in passed.forecast.terms
        if term.name == "listing" and term.dollars
    )


@contextmanager
def _environment(database: Database, aws: str) -> Iterator[None]:
    """Use the connections in an environment for a run."""
    variables = {
        **clean_environment(),
        "AIRFLOW_CONN_RETROFILL_STATE": database.dsn,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(
            {
                "conn_type": "aws",
                "login": "test",
                "password": "test",
                "extra": {"region_name": "us-east-1", "endpoint_url": aws},
            }
        ),
    }
    with patch.dict(os.environ, variables, clear=True):
        yield


def lines(arguments: Namespace) -> Iterator[str]:
    """Make all runs, and yield the lines of the table.

    :raises FailedError: a run failed, or a forecast is off by more than allowed
    """
    rows: list[list[str]] = []
    wrong: list[str] = []

    def note(case: Case, made: Measured) -> None:
        rows.append(_row(f"{case.name} ({case.canary:,} of {case.items:,})", made))
        say(" | ".join(rows[-1]))
        wrong.extend(_too_far(case.name, made))

    with temporary_postgres(durable=False) as server, TemporaryDirectory() as directory:
        database = Database(server)
        for case in CASES:
            for number in range(arguments.runs if arguments.case in case.name else 0):
                say(f"{case.name}, run {number + 1}")
                note(case, run_scripted(case, database, number))
        if arguments.case in EMULATED.name:
            say(EMULATED.name)
            note(EMULATED, run_emulated(database, Path(directory)))
    yield from table(
        (
            "run",
            *(f"{name}: {what}" for name in Figures._fields for what in ("forecast", "was", "off")),
        ),
        rows,
    )
    if wrong:
        raise FailedError("\n".join(["forecasts are too far off", *wrong]))


def _row(name: str, made: Measured) -> list[str]:
    cells = [name]
    columns = (made.predicted, made.low, made.high, made.happened, made.off)
    forms = ("{:,.0f}", "${:.5f}", "{:.1f} s")
    for predicted, low, high, was, off, form in zip(*columns, forms, strict=True):
        spread = "" if low == high else f" ({form.format(low)} to {form.format(high)})"
        cells += [form.format(predicted) + spread, form.format(was), f"{off:+.1%}"]
    return cells


def _too_far(name: str, made: Measured) -> Iterator[str]:
    for figure, off in made.off._asdict().items():
        if abs(off) > MOST_OFF[figure]:
            yield f"{name}: {figure} off by {off:+.1%}, at most {MOST_OFF[figure]:.0%}"


if __name__ == "__main__":
    parser = options("benchmarks.plan_accuracy", __doc__)
    parser.add_argument("--runs", type=count, default=_RUNS, help="runs of each row")
    parser.add_argument("--case", default="", help="only rows whose name has this text")
    sys.exit(exit_code(lines(parser.parse_args())))
