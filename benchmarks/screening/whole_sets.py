"""Whole sets of several sizes, beside a raw COPY of the same rows and a query per item.

In each round everything is measured once, in turns, each in a process of its own; the figures are
the medians of the rounds.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from benchmarks.screening.server import Database, Measured
from benchmarks.screening.work import (
    query_per_item,
    raw_copy,
    screen_known,
    screen_new,
    settle,
    settle_ones,
)

ROUNDS = {100_000: 5, 1_000_000: 3}
"""How often sizes up to these are measured; larger ones once."""

HEAD = """\
| items | what | items/s | ÷ raw COPY | CPU µs/item | peak RSS, MB | WAL B/item | disk B/row |
| --: | :-- | --: | --: | --: | --: | --: | --: |"""
_MILLION = 1_000_000


@dataclass
class Round:
    """What was measured in one round at one size."""

    measured: dict[str, Measured] = field(default_factory=dict)
    bytes_per_row: dict[str, float] = field(default_factory=dict)
    """By the name of the measurement that filled the table."""


RAW, NEW, SETTLED = "raw COPY", "new items", "settling, 100 items a call"
KNOWN_WAITING, KNOWN_DONE = "known items, in process", "known items, in results"
QUERIES, SETTLED_ONES = "SELECT and INSERT per item", "settling, 1 item a call"


def measure(database: Database, sizes: list[int]) -> Iterator[str]:
    """Yield the table's lines, size by size.

    :raises WrongCountError: something was screened or settled that should not, or was not
    """
    # Line by line, as they are measured: the largest sizes take minutes.
    yield from HEAD.splitlines()
    for items in sizes:
        count = next((count for size, count in ROUNDS.items() if items <= size), 1)
        rounds = []
        for number in range(1, count + 1):
            print(f"{items:,} items, round {number} of {count}", file=sys.stderr)
            rounds.append(_measure_round(database, items, ones=items == min(sizes)))
        yield from _lines(items, rounds)


def _measure_round(database: Database, items: int, *, ones: bool) -> Round:
    """Measure everything once, in turns.

    :param ones: whether to settle calls of one item, too
    """
    seen = Round()
    database.fresh()
    for name, work in {RAW: raw_copy, QUERIES: query_per_item, NEW: screen_new}.items():
        seen.measured[name] = database.measure(work, items)
    seen.bytes_per_row[NEW] = database.bytes_of("in_process") / items
    seen.measured[KNOWN_WAITING] = database.measure(screen_known, items)
    seen.measured[SETTLED] = database.measure(settle, items)
    seen.bytes_per_row[SETTLED] = database.bytes_of("results") / items
    database.vacuum()
    seen.measured[KNOWN_DONE] = database.measure(screen_known, items)
    if ones:
        database.fresh()
        database.measure(screen_new, items)
        seen.measured[SETTLED_ONES] = database.measure(settle_ones, items)
    return seen


def _lines(items: int, rounds: list[Round]) -> Iterator[str]:
    """Yield the table's lines for one size."""
    for name in rounds[0].measured:
        measured = [one.measured[name] for one in rounds]
        # The yardstick of a round is the raw COPY of the same round.
        ratio = median(_rate(one.measured[name]) / _rate(one.measured[RAW]) for one in rounds)
        disk = rounds[0].bytes_per_row.get(name)
        cells = [
            f"{items:,}",
            name,
            f"{median(_rate(one) for one in measured):,.0f}",
            f"{ratio:.3f}" if name == QUERIES else f"{ratio:.2f}",
            f"{median(one.cpu_s / one.items for one in measured) * _MILLION:.1f}",
            f"{median(one.peak_mb for one in measured):.0f}",
            f"{median(one.wal_bytes / one.items for one in measured):.0f}",
            f"{disk:.0f}" if disk else "",
        ]
        yield f"| {' | '.join(cells)} |"


def _rate(measured: Measured) -> float:
    return measured.items / measured.seconds
