"""The pulse of a run: what its calls did in each slice of its time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

RUNGS_PER_DOUBLING = 4
"""Steps of the latency histogram in which a duration doubles: each is 19 % longer."""


class Slice(NamedTuple):
    """What calls of one task, or of all tasks of a run, did in one slice."""

    second: int
    """Where it begins, in seconds since the run was opened, but for those in which it waited."""

    seconds: int
    """How long it is."""

    calls: int
    """Calls that ended."""

    succeeded: int
    """Items."""

    quarantined: int
    """Items."""

    troubles: Mapping[str, int]
    """Calls that did not succeed, by cause or, where their outcome has none, by outcome."""

    call_seconds: float
    """Seconds that calls were in flight, all together."""

    most_in_flight: int
    """How many calls of the run might be in flight at its end."""

    latency: Sequence[int]
    """How many calls took how long, refused ones left out: the first number is of those below 1 ms,
    and each further one of those up to 2 ** (1 / RUNGS_PER_DOUBLING) times as long as before."""
