"""The way of items that hold a kilobyte each: screened, screened again, loaded, settled.

In each round everything is done once, each in a process of its own; the figures are the medians of
the rounds.
"""

import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.screening.server import Database, Measured
from benchmarks.screening.work import Work, load_all, screen_known_rows, screen_rows, settle
from benchmarks.table import table

ROUNDS = {100_000: 3}
"""How often sizes up to these are measured; larger ones once."""

WORKS: dict[str, Work] = {
    "new items": screen_rows,
    "known items, in process": screen_known_rows,
    "loading, 100 items a call": load_all,
    "settling, 100 items a call": settle,
}
HEADS = (
    "items", "what", "items/s", "CPU µs/item", "peak RSS, MB", "WAL B/item", "disk B/row",
)  # fmt: skip
_MILLION = 1_000_000


def measure(database: Database, sizes: list[int]) -> Iterator[str]:
    """Yield the table's lines.

    :raises WrongCountError: something was screened, loaded or settled that should not, or was not
    """
    rows = []
    for items in sizes:
        count = next((count for size, count in ROUNDS.items() if items <= size), 1)
        measured: dict[str, list[Measured]] = {name: [] for name in WORKS}
        disk = 0.0
        for number in range(1, count + 1):
            print(f"{items:,} rows, round {number} of {count}", file=sys.stderr)
            database.fresh()
            for name, work in WORKS.items():
                measured[name].append(database.measure(work, items))
                if work is screen_rows:
                    disk = database.bytes_of("in_process") / items
        rows += [
            [
                f"{items:,}",
                name,
                f"{median(one.items / one.seconds for one in found):,.0f}",
                f"{median(one.cpu_s / one.items for one in found) * _MILLION:.1f}",
                f"{median(one.peak_mb for one in found):.0f}",
                f"{median(one.wal_bytes / one.items for one in found):.0f}",
                f"{disk:.0f}" if WORKS[name] is screen_rows else "",
            ]
            for name, found in measured.items()
        ]
    yield from table(HEADS, rows)
