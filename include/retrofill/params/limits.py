"""The limits of a run: how fast it calls, when it stops, and how it is divided."""

import difflib
from typing import Annotated, Literal

from pydantic import BeforeValidator

from retrofill.model.limits import Limits
from retrofill.model.quoting import quoted
from retrofill.model.troubles import LIMITED
from retrofill.params.base import Params, field, refuse

LIMITS = "Limits"

_ALL = 100


def _percents(by_cause: object) -> object:
    """Return percents by cause, if that is what they are."""
    if not isinstance(by_cause, dict):
        return by_cause
    for cause, percent in by_cause.items():
        if cause not in LIMITED:
            close = difflib.get_close_matches(cause, LIMITED, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            refuse(f"there is no cause {quoted(cause)}{hint}")
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            refuse(f"{cause}: {quoted(percent)} is no number")
        if not 0 <= percent <= _ALL:
            refuse(f"{cause}: {percent} is no percentage")
    return by_cause


class LimitParams(Params):
    """How fast a run calls, when it stops, and how it is divided."""

    max_concurrency: int = field(
        LIMITS,
        "Concurrent calls",
        "The most calls in flight at once, over the whole run.",
        default=50,
        ge=1,
        le=10_000,
        examples=[50],
    )
    function_concurrency: int | None = field(
        LIMITS,
        "Concurrent calls of the function",
        "The most calls in flight at once, over all runs of this function that have this limit. It"
        " is divided among those that want calls, by their priority; the lowest that an open run"
        " names counts for all. Calls of runs without it count, though they do not keep to it."
        " Empty: no such limit.",
        default=None,
        ge=1,
        le=10_000,
        examples=[200],
    )
    priority: int = field(
        LIMITS,
        "Priority",
        "This run's part of the concurrent calls of the function, beside the priorities of other"
        " runs: one of 20 gets twice as many as one of 10.",
        default=10,
        ge=1,
        le=1_000,
        examples=[10],
    )
    max_calls_per_second: int | None = field(
        LIMITS,
        "Calls per second",
        "The most calls to start in a second. Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[100],
    )
    ramp_minutes: int | None = field(
        LIMITS,
        "Minutes to full speed",
        "Begin with 2 calls in flight, and rise to the full concurrency and rate in so many"
        " minutes, only while calls fail no more and take no longer than at first. Empty: begin"
        " at once.",
        default=None,
        ge=1,
        le=10_000,
        examples=[10],
    )
    max_attempts: int = field(
        LIMITS,
        "Attempts",
        "How often an item may fail on its own before it is quarantined.",
        default=3,
        ge=1,
        le=100,
        examples=[3],
    )
    on_unknown: Literal["retry", "hold"] = field(
        LIMITS,
        "Without an answer",
        "What becomes of an item when nobody can tell whether its call ran: **retry** calls it"
        " again after the function's timeout, **hold** puts it in quarantine for a person, so that"
        " it is called at most once.",
        default="retry",
    )
    reserve_percent: int | None = field(
        LIMITS,
        "Reserve for live traffic",
        "Keep this share of the function's concurrency free for live traffic, in percent. Empty: no"
        " reserve, and nothing is looked up. Only for kinds of functions that tell their limit.",
        default=None,
        ge=0,
        le=99,
        examples=[50],
    )
    max_calls: int | None = field(
        LIMITS,
        "Calls in all",
        "The most calls of the whole run; then it stops, and what is left stays for another run."
        " Calls that were refused, so that the function did not run, do not count."
        " Empty: no limit.",
        default=None,
        ge=1,
        le=1_000_000_000,
        examples=[10_000],
    )
    max_cost: float | None = field(
        LIMITS,
        "Cost in all",
        "Dollars that the calls of the whole run may cost; then it stops, and what is left stays"
        " for another run. Calls in flight are waited for. What is billed counts, and what cannot"
        " be known counts from above. Empty: no limit.",
        default=None,
        ge=0.0001,
        le=10_000_000,
        examples=[25],
    )
    max_minutes: int | None = field(
        LIMITS,
        "Minutes in all",
        "Minutes after its opening in which the run lists and calls: then it stops, and what is"
        " left stays for another run. Calls in flight are waited for."
        " Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[480],
    )
    max_failure_percent: int = field(
        LIMITS,
        "Failures that stop the run",
        "The run stops when more than this percent of the items it has judged have failed alone."
        " 100: it never does.",
        default=50,
        ge=0,
        le=100,
        examples=[50],
    )
    max_percent_by_cause: Annotated[dict[str, float], BeforeValidator(_percents)] | None = field(
        LIMITS,
        "Failures that stop the run, by cause",
        "A JSON object from causes to percents. The run stops when more than that percent of the"
        " items called came to that end; each of their calls counts, those refused do not. For"
        " **throttled**, **starting** and **too_large** it is the percent of all calls. Empty: no"
        " such limit.",
        allowed="a JSON object from causes to percents from 0 to 100, in which causes are"
        f" {', '.join(LIMITED)}",
        default=None,
        examples=[{"timed_out": 5, "unknown": 1}],
    )
    min_items_judged: int = field(
        LIMITS,
        "Minimum sample",
        "Items that must have succeeded or failed before the run may stop for its failures, and"
        " that calls must have carried before a cause may stop it. If the first 10 all fail with"
        " one error, it stops whatever this says.",
        default=1_000,
        ge=1,
        le=1_000_000_000,
        examples=[1_000],
    )
    max_items_per_set: int = field(
        LIMITS,
        "Items per DAG run",
        "The most new items that one DAG run takes; a larger run goes on in further DAG runs.",
        default=1_000_000,
        ge=1,
        le=10_000_000,
        examples=[1_000_000],
    )
    max_partitions: int = field(
        LIMITS,
        "Partitions",
        "The most parts that the source is divided into; each is listed by a task of its own.",
        default=16,
        ge=1,
        le=200,
        examples=[16],
    )

    def of_run(self, concurrency_ceiling: int | None) -> Limits:
        """Return the limits that a run is opened with.

        :param concurrency_ceiling: what a reserve for live traffic leaves; None: no reserve
        """
        return Limits(
            max_concurrency=self.max_concurrency,
            max_items_per_set=self.max_items_per_set,
            max_calls_per_second=self.max_calls_per_second,
            max_calls=self.max_calls,
            max_cost=self.max_cost,
            max_minutes=self.max_minutes,
            max_failure_percent=self.max_failure_percent,
            max_percent_by_cause=self.max_percent_by_cause or {},
            min_items_judged=self.min_items_judged,
            concurrency_ceiling=concurrency_ceiling,
            ramp_minutes=self.ramp_minutes,
            function_concurrency=self.function_concurrency,
            priority=self.priority,
        )
