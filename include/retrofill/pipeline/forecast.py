"""Forecast the rest of a run from the counts of its plan, its price, and Airflow's overhead."""

from retrofill.engine.durations import Measured, Work
from retrofill.engine.fit import Range
from retrofill.engine.forecast import Forecast, Listing, Overhead, forecast
from retrofill.model.limits import Limits
from retrofill.model.plan import Counts
from retrofill.model.runs import Run
from retrofill.sources.kind import SourceKind

TASK_S = Range(1.0, 2.0, 6.0)
"""Seconds from the end of a task until the next one runs: a loop of Airflow's scheduler, and the
start of a process, which takes half a second to a second of CPU (measured on two cores)."""

TASKS_AFTER = 3
"""Tasks that follow the calls, one after another: close_run, next_set and notify."""

_NOTHING = Work(0, 0, 0)


def forecast_run(
    run: Run,
    kind: SourceKind,
    counts: Counts,
    limits: Limits,
    *,
    at_once: int,
    called: Work = _NOTHING,
    measured: Measured | None = None,
    spent: float = 0.0,
    task_s: Range = TASK_S,
) -> Forecast:
    """Forecast cost and duration of the calls that are left.

    :param counts: the counts of the run's plan
    :param at_once: the most tasks that Airflow runs at once
    :param called: the part of the counts that the canary has called
    :param measured: the canary's measurements; None: there are none
    :param spent: dollars that the run has cost so far
    :param task_s: the seconds that Airflow takes to start a task
    """
    return forecast(
        _left(counts, called),
        run.price,
        limits,
        Overhead(
            counts.batches + (counts.batches_after or 0) - (called.calls > 0),
            at_once,
            task_s,
            task_s.scaled(TASKS_AFTER),
        ),
        timeout_s=run.function.timeout_s,
        measured=measured,
        listing=_listing(kind, counts),
        spent=spent,
    )


def _left(counts: Counts, called: Work) -> Work:
    """Return the work that is left, assuming that further sets are like the first."""
    after = counts.items_after or 0
    size = counts.item_bytes
    if size is not None and called.bytes is not None:
        size = round(size * (counts.items + after) / max(counts.items, 1)) - called.bytes
    return Work(
        counts.items + after - called.items,
        counts.calls + (counts.calls_after or 0) - called.calls,
        size,
        is_exact=counts.is_all,
    )


def _listing(kind: SourceKind, counts: Counts) -> Listing | None:
    price = kind.listing
    if price is None or (counts.redriven and not counts.listed):
        return None
    seen = counts.listed + sum(counts.left_out.values()) + (counts.items_after or 0)
    return Listing(-(-seen // price.items), price.per_request, price.words)
