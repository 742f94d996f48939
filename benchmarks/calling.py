"""The cost of a call: our whole invoke stage against the usual clients of a function.

Run ``python -m benchmarks.calling`` (or ``make bench-calling``). All contenders make the same calls
to the same scripted endpoint, in turns. Each figure is the median of the rounds. Ours is the whole
stage: claim a planned batch in Postgres, encode, write ahead, sign, send, read, settle. The others
keep no state, and send the same items in every call. All load modules and open clients before the
clock starts, and open connections after. The mapped operator makes fewer calls, on its own stack.
The exit code is 1 if a count is wrong.
"""

import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import NamedTuple

from retrofill.events import compile_shape

from benchmarks.arena import AIOBOTOCORE, OURS, Figures, arena
from benchmarks.command import count, exit_code, options, say
from benchmarks.contenders.mapped_operator import MappedFigures, measure_mapped
from benchmarks.contenders.work import Work
from benchmarks.event import CONTEXT, encode, items
from benchmarks.table import table

MAPPED = "mapped"
CONTENDERS = {
    OURS: "ours, the whole stage",
    "boto3": "boto3 in threads, json.dumps",
    AIOBOTOCORE: "aiobotocore, json.dumps",
    "awscrt": "bare awscrt, ready payload",
    MAPPED: "LambdaInvokeFunctionOperator, mapped",
}
MAPPED_ITEMS = 100
_MS = 1_000
_US = 1_000_000


class Cell(NamedTuple):
    """The work of all contenders."""

    items_per_call: int
    in_flight: int


GOAL_CELL = Cell(100, 200)
"""The goals apply to this cell."""
CPU_GOAL = 5
"""boto3's CPU per call, divided by ours."""
RATE_GOAL = 200
"""Our calls per second, divided by those of the mapped operator."""

Results = dict[tuple[Cell, str], Figures]


def measure(arguments: Namespace) -> Iterator[str]:
    """Measure everything, and yield the lines of the report.

    :raises FailedError: a contender did not do its work
    """
    contenders = [name for name in arguments.contenders if name != MAPPED]
    results = _measure_cells(arguments, contenders) if contenders else {}
    mapped = None
    if MAPPED in arguments.contenders:
        say(f"{MAPPED_ITEMS} items per call: the mapped operator, on its own stack")
        mapped = measure_mapped(arguments.mapped_calls, MAPPED_ITEMS, arguments.latency)
    yield from report(arguments, results, mapped)


def _measure_cells(arguments: Namespace, contenders: list[str]) -> Results:
    rounds: defaultdict[tuple[Cell, str], list[Figures]] = defaultdict(list)
    cells = [Cell(*both) for both in product(arguments.items_per_call, arguments.in_flight)]
    with arena(contenders, arguments.latency) as (here, url):
        for cell in cells:
            calls = max(arguments.calls, 2 * cell.in_flight)
            work = Work(url=url, calls=calls, **cell._asdict())
            for number in range(1, 1 + arguments.rounds):
                for contender in contenders:
                    say(
                        f"{cell.items_per_call} items per call, {cell.in_flight} in flight,"
                        f" round {number}: {contender}"
                    )
                    rounds[cell, contender].append(here.measure(contender, work))
    return {
        key: Figures(*map(median, zip(*measured, strict=True))) for key, measured in rounds.items()
    }


def report(arguments: Namespace, results: Results, mapped: MappedFigures | None) -> Iterator[str]:
    """Yield the lines of the table and of the text below it."""
    rows = [
        [
            CONTENDERS[contender],
            f"{cell.items_per_call}",
            f"{cell.in_flight:,}",
            f"{found.cpu_us:,.0f}",
            f"{found.cpu_us + found.server_cpu_us:,.0f}" if contender == OURS else "",
            f"{found.calls_per_s:,.0f}",
            f"{found.peak_mb:,.0f}",
            f"{found.grown_mb:,.0f}",
            relative_cost(found.cpu_us, results.get((cell, OURS))),
        ]
        for (cell, contender), found in results.items()
    ]
    if mapped:
        figures = f"{mapped.cpu_us:,.0f}", f"{mapped.calls_per_s:,.2f}", f"{mapped.peak_mb:,.0f}"
        ratio = relative_cost(mapped.cpu_us, results.get((GOAL_CELL, OURS)))
        first = [CONTENDERS[MAPPED], f"{MAPPED_ITEMS}", f"{mapped.in_flight}", ""]
        rows.append([*first, *figures, "", ratio])
    heads = (
        "", "items per call", "in flight", "CPU µs per call", "with Postgres", "calls/s",
        "peak RSS, MB", "growth, MB", "CPU ÷ ours",
    )  # fmt: skip
    yield from table(heads, rows)
    yield ""
    yield (
        f"Calls of {arguments.latency * _MS:.0f} ms; medians of {arguments.rounds} rounds in turns."
        " CPU is that of the client's process. Growth is the memory used after loading modules."
    )
    yield events_line()
    if results:
        yield endpoint_line(results)
    if mapped:
        yield (
            f"The mapped operator made {arguments.mapped_calls} calls. Its CPU is that of Airflow"
            " and its Postgres, its memory that of one task."
        )
    yield from verdicts(results, mapped)


def relative_cost(cpu_us: float, ours: Figures | None) -> str:
    """Return the CPU of a call, divided by that of ours."""
    return f"{cpu_us / ours.cpu_us:,.2f}" if ours else ""


def events_line() -> str:
    """Return a sentence on the size of an event in both encodings."""
    call = items(GOAL_CELL.items_per_call)
    ours = len(compile_shape("s3", CONTEXT).body(call))
    return (
        f"An event of {len(call)} items has {ours:,} bytes as we encode it, and"
        f" {len(encode(call)):,} with json.dumps."
    )


def endpoint_line(results: Results) -> str:
    """Return a sentence on whether the endpoint is fast enough to measure clients."""
    found = max(results.values(), key=lambda one: one.endpoint_us * one.calls_per_s)
    return (
        f"For the client that kept it busiest, the endpoint took {found.endpoint_us:,.0f} µs of CPU"
        f" per call. So it can process {_US / found.endpoint_us:,.0f} calls/s; that client made"
        f" {found.calls_per_s:,.0f}."
    )


def verdicts(results: Results, mapped: MappedFigures | None) -> Iterator[str]:
    """Yield whether each measured goal is met."""
    ours, boto3 = results.get((GOAL_CELL, OURS)), results.get((GOAL_CELL, "boto3"))
    yield ""
    where = f"{GOAL_CELL.items_per_call} items per call and {GOAL_CELL.in_flight} in flight"
    if ours and boto3:
        ratio = boto3.cpu_us / ours.cpu_us
        yield (
            f"- boto3's CPU per call / ours, {where}: {ratio:.2f}"
            f" ({boto3.cpu_us / (ours.cpu_us + ours.server_cpu_us):.2f} with Postgres)."
            f" Goal: {CPU_GOAL} or more. {_verdict(ratio, CPU_GOAL)}"
        )
    if ours and mapped:
        ratio = ours.calls_per_s / mapped.calls_per_s
        yield (
            f"- our calls/s, {where} / those of the mapped operator: {ratio:,.0f}."
            f" Goal: {RATE_GOAL} or more. {_verdict(ratio, RATE_GOAL)}"
        )


def _verdict(ratio: float, goal: float) -> str:
    return "Met." if ratio >= goal else "NOT met."


def _arguments() -> Namespace:
    parser = options("benchmarks.calling", __doc__)
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}; all by default",
    )  # fmt: skip
    for name, default in (("--items-per-call", [1, 10, 100]), ("--in-flight", [50, 200, 1_000])):
        parser.add_argument(name, type=count, nargs="+", default=default, metavar="N")
    parser.add_argument(
        "--calls", type=count, default=2_000, metavar="N",
        help="of each round; at least twice those in flight are made",
    )  # fmt: skip
    parser.add_argument("--mapped-calls", type=count, default=40, metavar="N")
    parser.add_argument("--rounds", type=count, default=3, metavar="N")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(exit_code(measure(_arguments())))
