"""Precedent: what calling some items will cost, by what those of the job's earlier runs did."""

from collections.abc import Sequence
from typing import NamedTuple

from retrofill.engine.fit import Range


class Past(NamedTuple):
    """What the calls of one run have cost."""

    cost: float
    """Dollars."""

    items: int
    """Items that they have settled."""


def cost_of(items: int, runs: Sequence[Past]) -> Range | None:
    """Return what calling so many items costs; None: no run tells.

    Likely is the mean of all items; least and most are what the cheapest and the dearest of the
    runs would make of it.
    """
    told = [run for run in runs if run.items]
    if not told:
        return None
    each = [run.cost / run.items for run in told]
    mean = sum(run.cost for run in told) / sum(run.items for run in told)
    return Range(min(each), mean, max(each)).scaled(items)
