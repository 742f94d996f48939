"""Precedent: the cost of calling some items, based on the job's earlier runs."""

from collections.abc import Sequence
from typing import NamedTuple

from retrofill.engine.fit import Range


class PastRun(NamedTuple):
    """The cost of one run's calls."""

    cost: float
    """Dollars."""

    items: int
    """Items that they settled."""


def cost_of(items: int, runs: Sequence[PastRun]) -> Range | None:
    """Return the cost of calling this many items; None: no run has any.

    The likely cost is the mean over all items; the least and the most are those of the cheapest and
    the most expensive run.
    """
    settled = [run for run in runs if run.items]
    if not settled:
        return None
    each = [run.cost / run.items for run in settled]
    mean = sum(run.cost for run in settled) / sum(run.items for run in settled)
    return Range(min(each), mean, max(each)).scaled(items)
