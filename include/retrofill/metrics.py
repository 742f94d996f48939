"""Metrics: what tasks that call tell Airflow's own, by StatsD or OpenTelemetry as that is set."""

import logging

from airflow.sdk.observability import stats

from retrofill.config import RunConfig
from retrofill.engine.telemetry import Tell, Told
from retrofill.model.runs import Run

log = logging.getLogger(__name__)

_QUANTILES = {"median": 0.5, "p95": 0.95}
_PER_DOLLAR = 1_000_000
"""Counters take whole numbers."""


def teller(config: RunConfig, run: Run, map_index: int) -> Tell:
    """Return what sends what a task tells; whatever goes wrong with that, the task goes on.

    :param map_index: tells the tasks of a DAG run apart
    """
    counted = {"job": _tag(run.job), "function": _tag(config.function.label())}
    # What each task has of its own must not take the place of what another has.
    gauged = {**counted, "map_index": str(map_index)}
    sends = True

    def tell(told: Told) -> None:
        nonlocal sends
        if not sends:
            return
        try:
            _send(told, counted, gauged)
        except Exception:
            log.exception("metrics could not be sent; this task sends no more")
            sends = False

    return tell


def _send(told: Told, counted: dict[str, str], gauged: dict[str, str]) -> None:
    settled = told.settled
    counts = {
        **{f"calls.{outcome}": calls for outcome, calls in settled.outcomes.items()},
        **{f"failures.{cause}": calls for cause, calls in settled.troubles.items()},
        "items.succeeded": settled.succeeded,
        "items.quarantined": settled.quarantined,
        "cost_microdollars": round(settled.cost * _PER_DOLLAR),
    }
    for name, count in counts.items():
        if count:
            stats.incr(f"retrofill.{name}", count, tags=counted)
    for name, share in _QUANTILES.items():
        took_s = told.quantile_s(share)
        if took_s is not None:
            stats.gauge(f"retrofill.call_ms.{name}", round(took_s * 1000, 1), tags=gauged)
    stats.gauge("retrofill.in_flight", told.in_flight, tags=gauged)
    stats.gauge("retrofill.backlog", told.left, tags=gauged)


def _tag(text: str) -> str:
    return stats.normalize_name_for_stats(text, log_warning=False)
