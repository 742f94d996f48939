"""What a call costs: our whole invoke stage beside what a user would call a function with.

Run ``python -m benchmarks.calling`` (or ``make bench-calling``). All make the same calls, at the
same scripted endpoint, in turns; each figure is the median of the rounds. Ours is the whole
stage: claim a planned batch in Postgres, encode, write ahead, sign, send, read, settle. The others
keep no state, and send the same items in every call. Modules are loaded and clients opened before
the clock starts, for all of them; connections are opened after. The mapped operator makes fewer
calls, on a stack of its own. The exit code is 1 if a count is not what it must be.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from retrofill.events import compile_shape

from benchmarks.arena import (
    AIOBOTOCORE,
    OURS,
    MissingContenderError,
    Observed,
    arena,
    require,
)
from benchmarks.contenders.mapped_operator import MappedFigures, measure_mapped
from benchmarks.contenders.work import Work, WrongCountError, encode
from benchmarks.encode import CONTEXT
from benchmarks.observe import FailedRunError
from benchmarks.table import table
from stack.endpoint import EndpointError
from stack.settings import StackError

CONTENDERS = {
    OURS: "ours, the whole stage",
    "boto3": "boto3 in threads, json.dumps",
    AIOBOTOCORE: "aiobotocore, json.dumps",
    "awscrt": "bare awscrt, ready payload",
    "mapped": "LambdaInvokeFunctionOperator, mapped",
}
MAPPED = "mapped"
MAPPED_ITEMS = 100
_MS = 1_000
_US = 1_000_000
_KB_PER_MB = 1024


class Cell(NamedTuple):
    """What is asked of all contenders alike."""

    items_per_call: int
    in_flight: int


GOAL_CELL = Cell(100, 200)
"""Where the goals are set."""
CPU_GOAL = 5
"""boto3's CPU a call, divided by ours."""
RATE_GOAL = 200
"""Our calls per second, divided by those of the mapped operator."""


class Figures(NamedTuple):
    """The medians of a contender in a cell."""

    cpu_us: float
    """Of CPU per call, in the client."""
    server_cpu_us: float
    """Of CPU per call, in Postgres."""
    calls_per_s: float
    peak_mb: float
    grown_mb: float
    endpoint_us: float
    """Of CPU per call, in the endpoint."""


Results = dict[tuple[Cell, str], Figures]


def figures(rounds: list[Observed]) -> Figures:
    """Return the medians of some rounds."""
    return Figures(
        median(one.client.cpu_s / one.calls for one in rounds) * _US,
        median(one.server_cpu_s / one.calls for one in rounds) * _US,
        median(one.calls / one.client.wall_s for one in rounds),
        median(one.client.peak_kb for one in rounds) / _KB_PER_MB,
        median(one.client.peak_kb - one.client.before_kb for one in rounds) / _KB_PER_MB,
        median(one.endpoint_cpu_s / one.calls for one in rounds) * _US,
    )


def measure(arguments: argparse.Namespace, cells: list[Cell]) -> Results:
    """Measure all contenders in all cells, but for the mapped operator."""
    results: Results = {}
    contenders = [name for name in arguments.contenders if name != MAPPED]
    with arena(arguments.latency) as (here, url):
        for cell in cells:
            observed: defaultdict[str, list[Observed]] = defaultdict(list)
            work = Work(
                url=url,
                calls=max(arguments.calls, 2 * cell.in_flight),
                items_per_call=cell.items_per_call,
                in_flight=cell.in_flight,
            )
            batch_items = arguments.batch_items or work.calls * work.items_per_call
            for number in range(1, 1 + arguments.rounds):
                for contender in contenders:
                    _say(
                        f"{cell.items_per_call} items a call, {cell.in_flight} in flight,"
                        f" round {number}: {contender}"
                    )
                    observed[contender].append(here.measure(contender, work, batch_items))
            for contender, rounds in observed.items():
                results[cell, contender] = figures(rounds)
    return results


def report(
    arguments: argparse.Namespace, results: Results, mapped: MappedFigures | None
) -> Iterator[str]:
    """Yield the lines of the table and of what stands under it."""
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
            beside_ours(found.cpu_us, results.get((cell, OURS))),
        ]
        for (cell, contender), found in results.items()
    ]
    if mapped:
        rows.append(
            [
                CONTENDERS[MAPPED],
                f"{MAPPED_ITEMS}",
                f"{mapped.in_flight}",
                "",
                f"{mapped.cpu_us:,.0f}",
                f"{mapped.calls_per_s:,.2f}",
                f"{mapped.peak_mb:,.0f}",
                "",
                beside_ours(mapped.cpu_us, results.get((GOAL_CELL, OURS))),
            ]
        )
    heads = (
        "", "items a call", "in flight", "CPU µs a call", "with Postgres", "calls/s",
        "peak RSS, MB", "of it grown, MB", "CPU beside ours",
    )  # fmt: skip
    yield from table(heads, rows)
    yield ""
    yield (
        f"Calls of {arguments.latency * _MS:.0f} ms; medians of {arguments.rounds} rounds in turns."
        " CPU is that of the client's process; what memory it has grown by came after its modules."
    )
    yield events_line()
    if results:
        yield endpoint_line(results)
    if mapped:
        yield (
            f"The mapped operator made {mapped.calls} calls. Its CPU is that of all of Airflow with"
            " its Postgres, its memory that of one task."
        )
    yield from verdicts(results, mapped)


def beside_ours(cpu_us: float, ours: Figures | None) -> str:
    """Return how much more CPU a call takes than one of ours."""
    return f"{cpu_us / ours.cpu_us:,.2f}" if ours else ""


def events_line() -> str:
    """Say how large an event is, encoded in both ways."""
    call = Work(url="", calls=1, items_per_call=GOAL_CELL.items_per_call, in_flight=1)
    items = call.items_of_a_call()
    shape = compile_shape("s3", CONTEXT)
    ours = len(shape.body(items))
    return (
        f"An event of {len(items)} items has {ours:,} bytes as we encode it, and"
        f" {len(encode(items)):,} by json.dumps."
    )


def endpoint_line(results: Results) -> str:
    """Say whether the endpoint is fast enough to measure clients with."""
    found = max(results.values(), key=lambda one: one.endpoint_us * one.calls_per_s)
    return (
        f"The endpoint took {found.endpoint_us:,.0f} µs of CPU a call from the client that kept it"
        f" busiest, so it manages {_US / found.endpoint_us:,.0f} calls/s; that client made"
        f" {found.calls_per_s:,.0f}."
    )


def verdicts(results: Results, mapped: MappedFigures | None) -> Iterator[str]:
    """Yield whether each goal is met, as far as it was measured."""
    ours, boto3 = results.get((GOAL_CELL, OURS)), results.get((GOAL_CELL, "boto3"))
    yield ""
    where = f"{GOAL_CELL.items_per_call} items a call and {GOAL_CELL.in_flight} in flight"
    if ours and boto3:
        ratio = boto3.cpu_us / ours.cpu_us
        yield (
            f"- boto3's CPU a call / ours, {where}: {ratio:.2f}"
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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}; all by default",
    )  # fmt: skip
    for name, default in (("--items-per-call", [1, 10, 100]), ("--in-flight", [50, 200, 1_000])):
        parser.add_argument(name, type=_count, nargs="+", default=default, metavar="N")
    parser.add_argument(
        "--calls", type=_count, default=2_000, metavar="N",
        help="of each round; at least twice those in flight are made",
    )  # fmt: skip
    parser.add_argument("--mapped-calls", type=_count, default=40, metavar="N")
    parser.add_argument("--rounds", type=_count, default=3, metavar="N")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument(
        "--batch-items", type=_count, metavar="N",
        help="the most items of our batches, done one after another; all in one by default",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help="one round of 100 items a call and 200 in flight, without the mapped operator",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.items_per_call, arguments.in_flight = ([number] for number in GOAL_CELL)
        arguments.rounds = 1
        arguments.contenders = [name for name in arguments.contenders if name != MAPPED]
    return arguments


def main() -> int:
    """Run it all; return the exit code."""
    arguments = _arguments()
    cells = [
        Cell(items, in_flight)
        for items in arguments.items_per_call
        for in_flight in arguments.in_flight
    ]
    mapped = None
    try:
        require(arguments.contenders)
        results = {} if arguments.contenders == [MAPPED] else measure(arguments, cells)
        if MAPPED in arguments.contenders:
            _say(f"{MAPPED_ITEMS} items a call: the mapped operator, on a stack of its own")
            mapped = measure_mapped(arguments.mapped_calls, MAPPED_ITEMS, arguments.latency)
    except (
        EndpointError, FailedRunError, MissingContenderError, StackError, WrongCountError
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[-1]} failed; it says above why", file=sys.stderr)
        return 1
    print(*report(arguments, results, mapped), sep="\n")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
