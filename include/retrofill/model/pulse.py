"""The pulse of a run: what its calls did in each time slice."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

RUNGS_PER_DOUBLING = 4
"""Bins of the latency histogram per doubling of the duration: each is 19 % longer."""


class Slice(NamedTuple):
    """What the calls of one task, or of all tasks of a run, did in one slice."""

    second: int
    """Its start, in seconds since the run was opened, without those that the run waited."""

    seconds: int
    """Its length."""

    calls: int
    """Calls that ended."""

    succeeded: int
    """Items."""

    quarantined: int
    """Items."""

    troubles: Mapping[str, int]
    """Calls that did not succeed, by cause or, without one, by outcome."""

    call_seconds: float
    """The sum of the seconds that calls were in flight."""

    most_in_flight: int
    """How many calls of the run were allowed in flight at its end."""

    latency: Sequence[int]
    """Calls by duration, without refused ones. The first bin is for less than 1 ms; the bound of
    each further bin is 2 ** (1 / RUNGS_PER_DOUBLING) times the bound before."""
