"""Whole sets of several sizes, where each step runs in its own process.

A round measures each step once. The figures are the medians of the rounds. Small items are compared
with a raw COPY of the same rows and with a query per item. Items of one kilobyte are also loaded.
"""

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from retrofill.state.connection import connect

from benchmarks.command import FailedError, say
from benchmarks.contenders.work import memory_kb
from benchmarks.measure import Stopwatch
from benchmarks.screening.work import (
    Work,
    load,
    query_per_item,
    raw_copy,
    screen_known,
    screen_new,
    settle,
)
from benchmarks.server import Database, number
from benchmarks.sources import Rows
from benchmarks.table import row

_KB_PER_MB = 1024
_MILLION = 1_000_000
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_DISK = "SELECT pg_total_relation_size('retrofill.{}')"


@dataclass(frozen=True)
class Step:
    """A step for all items, or for the first of them."""

    work: Work
    fills: str = ""
    """The table that it fills, whose size is then measured."""
    most_items: int | None = None
    """How many items; None: all."""
    after_vacuum: bool = False
    in_new_database: bool = False
    """Whether it runs only at the smallest size, in a new database that has screened the items."""


@dataclass(frozen=True)
class Series:
    """The steps and rounds for one kind of items."""

    steps: Mapping[str, Step]
    """By name, in their order."""
    rounds: Mapping[int, int]
    """The rounds for sizes up to these; larger ones have one."""


ITEMS_PER_QUERY = 3_000
"""Items that are screened with a query each: about one second's worth."""

RAW, QUERIES = "raw COPY", "SELECT and INSERT per item"
ITEMS = Series(
    {
        RAW: Step(raw_copy),
        QUERIES: Step(query_per_item, most_items=ITEMS_PER_QUERY),
        "new items": Step(screen_new, fills="in_process"),
        "known items, in process": Step(screen_known),
        "settling, 100 items per call": Step(settle, fills="results"),
        "known items, in results": Step(screen_known, after_vacuum=True),
        "settling, 1 item per call": Step(partial(settle, items_per_call=1), in_new_database=True),
    },
    {100_000: 5, 1_000_000: 3},
)
ROWS = Series(
    {
        "new items": Step(partial(screen_new, source=Rows), fills="in_process"),
        "known items, in process": Step(partial(screen_known, source=Rows)),
        "loading, 100 items per call": Step(load),
        "settling, 100 items per call": Step(settle),
    },
    {100_000: 3},
)


class Measured(NamedTuple):
    """The figures of a step in a round, per item except for the memory."""

    seconds: float
    cpu_s: float
    """Of the process that did it and of the whole server."""
    peak_mb: float
    """The most memory of the process that did it."""
    wal_bytes: float
    disk_bytes: float
    """Of the table that it filled; 0 if it filled none."""


def measure(database: Database, sizes: Sequence[int], series: Series) -> Iterator[str]:
    """Yield the table's lines, each size when it is measured: the largest take minutes.

    :raises FailedError: a number of screened, loaded or settled items is wrong
    """
    ratio_head = ["÷ raw COPY"] if RAW in series.steps else []
    heads = ("CPU µs/item", "peak RSS, MB", "WAL B/item", "disk B/row")
    yield row(["items", "what", "items/s", *ratio_head, *heads])
    yield row(["--:", ":--", "--:", *["--:" for _ in (*ratio_head, *heads)]])
    for items in sizes:
        rounds = next((count for size, count in series.rounds.items() if items <= size), 1)
        measured = []
        for done in range(rounds):
            say(f"{items:,} items, round {done + 1} of {rounds}")
            measured.append(_measure_round(database, items, series, smallest=items == min(sizes)))
        for name in measured[0]:
            figures = Measured(*map(median, zip(*(one[name] for one in measured), strict=True)))
            # A round is compared with the raw COPY of the same round.
            ratios = [one[RAW].seconds / one[name].seconds for one in measured if ratio_head]
            yield row(
                [
                    f"{items:,}",
                    name,
                    f"{1 / figures.seconds:,.0f}",
                    *([f"{median(ratios):.{3 if name == QUERIES else 2}f}"] if ratio_head else []),
                    f"{figures.cpu_s * _MILLION:.1f}",
                    f"{figures.peak_mb:.0f}",
                    f"{figures.wal_bytes:.0f}",
                    f"{figures.disk_bytes:.0f}" if figures.disk_bytes else "",
                ]
            )


def _measure_round(
    database: Database, items: int, series: Series, *, smallest: bool
) -> dict[str, Measured]:
    measured = {}
    database.create()
    for name, step in series.steps.items():
        if step.in_new_database and not smallest:
            continue
        if step.in_new_database:
            database.create()
            _measure_step(database, items, "new items", Step(screen_new))
        if step.after_vacuum:
            database.vacuum()
        measured[name] = _measure_step(database, items, name, step)
    return measured


def _measure_step(database: Database, items: int, name: str, step: Step) -> Measured:
    """Do one step in its own process, which shares nothing with this one."""
    database.checkpoint()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_do, database.dsn, items, name, step).result()


def _do(dsn: str, items: int, name: str, step: Step) -> Measured:
    wanted = min(items, step.most_items or items)
    with closing(connect(dsn)) as conn:
        watch = Stopwatch(conn)
        wal_bytes = number(conn, _WAL)
        done = step.work(conn, wanted, watch)
        wal_bytes = number(conn, _WAL) - wal_bytes
        disk_bytes = number(conn, _DISK.format(step.fills)) if step.fills else 0
    if done != wanted:
        raise FailedError(f"{name}: {done:,} items, not {wanted:,}")
    return Measured(
        seconds=watch.seconds / done,
        cpu_s=watch.cpu_s / done,
        peak_mb=memory_kb("VmHWM") / _KB_PER_MB,
        wal_bytes=wal_bytes / done,
        disk_bytes=disk_bytes / done,
    )
