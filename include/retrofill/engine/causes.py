"""Causes of failure that stop a run: how often each has occurred, and how often it may."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from retrofill.engine.outcomes import REFUSED


class CallCount(NamedTuple):
    """How many calls of a run ended in one way."""

    outcome: str
    cause: str
    """Why they failed; empty for every other outcome."""

    calls: int
    items: int
    """Items that they carried."""


def exceeded(most: Mapping[str, float], ended: Collection[CallCount], sample: int) -> str | None:
    """Return which cause occurred more often than its limit allows; None: no cause did.

    Refusals are a percentage of all calls. All other causes are a percentage of the items in calls
    that were not refused, because a busy function does not fail more often.

    :param most: percentages by cause
    :param ended: how calls of the run ended
    :param sample: items that calls must have carried before a limit applies
    """
    ran = sum(one.items for one in ended if one.outcome not in REFUSED)
    for cause, percent in sorted(most.items()):
        those = [one for one in ended if cause in {one.cause, one.outcome}]
        if cause in REFUSED:
            found, of, what = _calls(those), _calls(ended), "calls that ended"
            carried = sum(one.items for one in ended)
        else:
            found, of, what = sum(one.items for one in those), ran, "items in calls that ended"
            carried = ran
        if carried >= sample and found * 100 > of * percent:
            return (
                f"max_percent_by_cause: {cause}: {found:,} of {of:,} {what},"
                f" {found * 100 / of:.3g} %, more than {percent:g} %"
            )
    return None


def _calls(ended: Collection[CallCount]) -> int:
    return sum(one.calls for one in ended)
