"""What a call costs: our whole invoke stage beside what a user would call a function with.

Run ``python -m benchmarks.calling`` (or ``make bench-calling``). All make the same calls, at the
same scripted endpoint, in turns; each figure is the median of the rounds. Ours is the whole
stage: claim a planned batch in Postgres, encode, write ahead, sign, send, read, settle. The others
keep no state. Modules are loaded and clients opened before the clock starts, for all of them;
connections are opened after. The exit code is 1 if a count is not what it must be.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from benchmarks.arena import OURS, Observed, WrongCountError, arena
from benchmarks.contenders.work import Work
from benchmarks.table import table
from stack.endpoint import EndpointError
from stack.settings import StackError

CONTENDERS = {
    OURS: "ours, the whole stage",
    "boto3": "boto3 in threads, json.dumps",
    "awscrt": "bare awscrt, ready payload",
}
GOAL_CELL_ITEMS, GOAL_CELL_IN_FLIGHT = 100, 200
GOAL_CPU_RATIO = 5.0
_US = 1_000_000
_KB_PER_MB = 1024


class Cell(NamedTuple):
    """What is asked of all contenders alike."""

    items_per_call: int
    in_flight: int


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
    """Measure all contenders in all cells."""
    results: Results = {}
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
                for contender in arguments.contenders:
                    _say(
                        f"{cell.items_per_call} items a call, {cell.in_flight} in flight,"
                        f" round {number}: {contender}"
                    )
                    observed[contender].append(here.measure(contender, work, batch_items))
            for contender, rounds in observed.items():
                results[cell, contender] = figures(rounds)
    return results


def report(arguments: argparse.Namespace, cells: list[Cell], results: Results) -> Iterator[str]:
    """Yield the lines of the table and of what stands under it."""
    rows = []
    for cell in cells:
        ours = results.get((cell, OURS))
        for contender in arguments.contenders:
            found = results[cell, contender]
            with_server = f"{found.cpu_us + found.server_cpu_us:,.0f}" if contender == OURS else ""
            rows.append([
                CONTENDERS[contender],
                f"{cell.items_per_call}",
                f"{cell.in_flight:,}",
                f"{found.cpu_us:,.0f}",
                with_server,
                f"{found.calls_per_s:,.0f}",
                f"{found.peak_mb:,.0f}",
                f"{found.grown_mb:,.0f}",
                f"{found.cpu_us / ours.cpu_us:.2f}" if ours else "",
            ])  # fmt: skip
    yield from table(
        [
            "", "items a call", "in flight", "CPU µs a call", "with Postgres", "calls/s",
            "peak RSS, MB", "of it grown, MB", "CPU beside ours",
        ],
        rows,
    )  # fmt: skip
    yield ""
    yield (
        f"Calls of {arguments.latency * 1_000:.0f} ms. Medians of {arguments.rounds} rounds in"
        " turns. CPU is that of the client's process; grown is what came after its modules."
    )
    yield ""
    yield endpoint_line(results)
    yield from verdicts(results)


def endpoint_line(results: Results) -> str:
    """Say whether the endpoint was fast enough to measure clients with."""
    (cell, contender), slowest = max(results.items(), key=lambda one: one[1].endpoint_us)
    able = _US / slowest.endpoint_us
    fastest = max(found.calls_per_s for found in results.values())
    return (
        f"The endpoint took at most {slowest.endpoint_us:,.0f} µs of CPU a call ({contender},"
        f" {cell.items_per_call} items), so it manages {able:,.0f} calls/s on one core; the fastest"
        f" client made {fastest:,.0f}/s."
    )


def verdicts(results: Results) -> Iterator[str]:
    """Yield whether each goal is met, as far as it was measured."""
    cell = Cell(GOAL_CELL_ITEMS, GOAL_CELL_IN_FLIGHT)
    ours, boto3 = results.get((cell, OURS)), results.get((cell, "boto3"))
    if ours and boto3:
        ratio = boto3.cpu_us / ours.cpu_us
        yield ""
        yield (
            f"boto3's CPU a call / ours, {cell.items_per_call} items and {cell.in_flight} in"
            f" flight: {ratio:.1f} ({boto3.cpu_us / (ours.cpu_us + ours.server_cpu_us):.1f} with"
            f" Postgres). The goal is {GOAL_CPU_RATIO:.0f} or more:"
            f" {'met' if ratio >= GOAL_CPU_RATIO else 'NOT MET'}."
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    numbers = {"type": int, "nargs": "+", "metavar": "N"}
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}; all by default",
    )  # fmt: skip
    parser.add_argument("--items-per-call", default=[1, 10, 100], **numbers)
    parser.add_argument("--in-flight", default=[50, 200, 1_000], **numbers)
    parser.add_argument("--calls", type=int, default=2_000, metavar="N", help="of each round")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument(
        "--batch-items", type=int, metavar="N",
        help="the most items of our batches, done one after another; all in one by default",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="one round, of 100 items a call and 200 in flight"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.items_per_call, arguments.in_flight, arguments.rounds = [100], [200], 1
    return arguments


def main() -> int:
    """Run it all; return the exit code."""
    arguments = _arguments()
    cells = [
        Cell(items, in_flight)
        for items in arguments.items_per_call
        for in_flight in arguments.in_flight
    ]
    try:
        results = measure(arguments, cells)
    except (StackError, EndpointError, WrongCountError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[-1]} failed; it says above why", file=sys.stderr)
        return 1
    print(*report(arguments, cells, results), sep="\n")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
