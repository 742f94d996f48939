"""Metrics of calling tasks, in Airflow's metrics: StatsD or OpenTelemetry."""

import logging
import re

from retrofill.compat import stats
from retrofill.config import RunConfig
from retrofill.engine.progress import SendMetrics, TaskMetrics
from retrofill.model.runs import Run

log = logging.getLogger(__name__)

_QUANTILES = {"median": 0.5, "p95": 0.95}
_PER_DOLLAR = 1_000_000
"""Counters take whole numbers."""

_NOT_IN_A_TAG = re.compile(r"[^a-zA-Z0-9_.-]")
"""Characters that Airflow does not allow in the name of a metric."""


def sender(config: RunConfig, run: Run, map_index: int) -> SendMetrics:
    """Return a function that sends a task's metrics. A failure is only logged, once.

    :param map_index: distinguishes the tasks of a DAG run
    """
    counted = {"job": _tag(run.job), "function": _tag(config.function.label())}
    # Without the map index, the gauges of one task would replace those of another.
    gauged = {**counted, "map_index": str(map_index)}
    sends = True

    def send(report: TaskMetrics) -> None:
        nonlocal sends
        if not sends:
            return
        try:
            _send(report, counted, gauged)
        except Exception:
            log.exception("metrics could not be sent; this task sends no more")
            sends = False

    return send


def _send(report: TaskMetrics, counted: dict[str, str], gauged: dict[str, str]) -> None:
    settled = report.settled
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
    for name, fraction in _QUANTILES.items():
        took_s = report.quantile_s(fraction)
        if took_s is not None:
            stats.gauge(f"retrofill.call_ms.{name}", round(took_s * 1000, 1), tags=gauged)
    stats.gauge("retrofill.in_flight", report.in_flight, tags=gauged)
    stats.gauge("retrofill.backlog", report.left, tags=gauged)


def _tag(text: str) -> str:
    return _NOT_IN_A_TAG.sub("_", text)
