"""Pace: whether new items were written at the times when a run made its calls.

Outputs whose names reveal nothing still match the calls in number, or in a multiple of it, and in
time. Neither proves much if a run was short or called all the time; then nothing is suspected.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from retrofill.engine.feedback import AFTER, BEFORE, Calling

FEWEST = 20
"""The fewest new items, and calls, whose numbers can be compared."""

MOST_TIMES = 4
"""The most outputs per call."""

SLACK = 0.05
"""By what fraction a number may be off; twice that if it comes from a sample."""

TENTHS = [place / 10 for place in range(11)]
"""The fractions of a run's calls whose times are compared."""

_BLUR = BEFORE + AFTER
_TELLING = 6
_RARE = 0.1


class Pace(NamedTuple):
    """When a run made its calls: the first call of each tenth, and the last of all."""

    sent: Sequence[datetime]
    ended: Sequence[datetime]


def is_multiple(items: float, calling: Calling, *, slack: float) -> bool:
    """Return whether there are as many items as calls, as items in calls, or a few times as many.

    :param slack: by what fraction the number may be off
    """
    for made in {calling.calls, calling.items}:
        times = round(items / made) if made >= FEWEST else 0
        if 1 <= times <= MOST_TIMES and abs(items - times * made) <= slack * times * made:
            return True
    return False


def stands_out(times: Sequence[datetime], calling: Calling, now: datetime) -> bool:
    """Return whether far more was written while a run called than in the time since."""
    lasted = calling.ended - calling.began + _BLUR
    since = now - calling.ended - AFTER
    within = sum(map(calling.covers, times))
    outside = sum(calling.ended + AFTER < time <= now for time in times)
    return since >= lasted and outside * (lasted / since) <= _RARE * within


def keeps_pace(times: Sequence[datetime], pace: Pace) -> bool:
    """Return whether items were written at the pace of a run's calls, if that was long enough.

    :param times: when items within the run's time were written
    """
    if len(times) < FEWEST or len(pace.sent) != len(TENTHS):
        return False
    each = max(ended - sent for sent, ended in zip(pace.sent, pace.ended, strict=True))
    if pace.ended[-1] - pace.sent[0] < _TELLING * (each + _BLUR):
        return False
    ordered = sorted(times)
    return all(
        pace.sent[place - 1] - BEFORE <= ordered[place * len(ordered) // 10]
        and ordered[place * len(ordered) // 10] <= pace.ended[place + 1] + AFTER
        for place in range(1, 10)
    )
