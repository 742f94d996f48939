"""The limits of a run: how fast it calls, when it stops, and how it is divided."""

import difflib
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import BeforeValidator

from retrofill.model.limits import Limits
from retrofill.model.quoting import quoted
from retrofill.model.troubles import LIMITED
from retrofill.params.base import Params, field, refuse

LIMITS = "Limits"

_ALL = 100


def _percents(by_cause: object) -> object:
    """Return percentages by cause, if the value is that."""
    if not isinstance(by_cause, dict):
        return by_cause
    for cause, percent in by_cause.items():
        if cause not in LIMITED:
            close = difflib.get_close_matches(cause, LIMITED, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            refuse(f"there is no cause {quoted(cause)}{hint}")
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            refuse(f"{cause}: {quoted(percent)} is not a number")
        if not 0 <= percent <= _ALL:
            refuse(f"{cause}: {percent} is not a percentage")
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
        "The most calls in flight at once over all runs of this function that have this limit,"
        " divided by priority. If runs name different limits, the lowest applies. Runs without"
        " this limit are counted but not limited. Empty: no such limit.",
        default=None,
        ge=1,
        le=10_000,
        examples=[200],
    )
    priority: int = field(
        LIMITS,
        "Priority",
        "This run's weight among runs that share function_concurrency: a run with 20 gets twice as"
        " many calls as one with 10.",
        default=10,
        ge=1,
        le=1_000,
        examples=[10],
    )
    max_calls_per_second: int | None = field(
        LIMITS,
        "Calls per second",
        "The most calls to start per second. Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[100],
    )
    ramp_minutes: int | None = field(
        LIMITS,
        "Minutes to full speed",
        "Start with 2 calls in flight and reach full concurrency and rate in this many minutes,"
        " but only while calls fail no more often and take no longer than at first. Empty: full"
        " speed at once.",
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
        "What to do if nobody can tell whether a call ran: **retry** calls the item again after"
        " the function's timeout; **hold** quarantines it for you, so that it is called at most"
        " once.",
        default="retry",
    )
    reserve_percent: int | None = field(
        LIMITS,
        "Reserve for live traffic",
        "Keep this percentage of the function's concurrency free for live traffic. Empty: no"
        " reserve. Only for function kinds that report their limit.",
        default=None,
        ge=0,
        le=99,
        examples=[50],
    )
    max_calls: int | None = field(
        LIMITS,
        "Calls in all",
        "The most calls of the whole run. Then it stops and leaves the rest to another run."
        " Refused calls, for which the function did not run, do not count. Empty: no limit.",
        default=None,
        ge=1,
        le=1_000_000_000,
        examples=[10_000],
    )
    max_cost: float | None = field(
        LIMITS,
        "Cost in all",
        "The most dollars that the calls of the whole run may cost. Then it stops and leaves the"
        " rest to another run. Calls in flight are completed. Costs that are not known exactly"
        " count as an upper bound. Empty: no limit.",
        default=None,
        ge=0.0001,
        le=10_000_000,
        examples=[25],
    )
    max_minutes: int | None = field(
        LIMITS,
        "Minutes in all",
        "The most minutes that the run lists and calls, from its opening. Then it stops and leaves"
        " the rest to another run. Calls in flight are completed. Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[480],
    )
    max_failure_percent: int = field(
        LIMITS,
        "Failures that stop the run",
        "Stop the run if more than this percentage of the evaluated items failed alone. 100:"
        " never.",
        default=50,
        ge=0,
        le=100,
        examples=[50],
    )
    max_percent_by_cause: Annotated[dict[str, float], BeforeValidator(_percents)] | None = field(
        LIMITS,
        "Failures that stop the run, by cause",
        "A JSON object of causes and percentages. Stop the run if more than this percentage of"
        " called items ended this way; each call counts, refused ones do not. For **throttled**,"
        " **starting** and **too_large**: the percentage of all calls. Empty: no such limit.",
        allowed="a JSON object of percentages from 0 to 100 by cause; causes are"
        f" {', '.join(LIMITED)}",
        default=None,
        examples=[{"timed_out": 5, "unknown": 1}],
    )
    min_items_judged: int = field(
        LIMITS,
        "Minimum sample",
        "How many items must have succeeded or failed before failures can stop the run. If the"
        " first 10 items all fail with one error, the run stops anyway.",
        default=1_000,
        ge=1,
        le=1_000_000_000,
        examples=[1_000],
    )
    max_items_per_set: int = field(
        LIMITS,
        "Items per DAG run",
        "The most new items that one DAG run takes. A larger run continues in further DAG runs.",
        default=1_000_000,
        ge=1,
        le=10_000_000,
        examples=[1_000_000],
    )
    max_partitions: int = field(
        LIMITS,
        "Partitions",
        "The most parts to split the source into. Each is listed by its own task.",
        default=16,
        ge=1,
        le=200,
        examples=[16],
    )

    def of_run(self, concurrency_ceiling: int | None) -> Limits:
        """Return the limits with which a run is opened.

        :param concurrency_ceiling: what a reserve for live traffic leaves; None: no reserve
        """
        shared = {one.name for one in fields(Limits)} & type(self).model_fields.keys()
        given = {name: getattr(self, name) for name in shared}
        by_cause = self.max_percent_by_cause or {}
        return Limits(
            **given | {"max_percent_by_cause": by_cause, "concurrency_ceiling": concurrency_ceiling}
        )
