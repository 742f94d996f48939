"""Airflow's own metrics, started again as in each task, for any version of Airflow."""

from collections.abc import Callable
from typing import Any

from airflow.configuration import conf
from airflow.sdk.execution_time import task_runner
from retrofill.compat import SERIES, stats

if SERIES >= (3, 2):
    from airflow.sdk._shared.observability.metrics import otel_logger
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
else:
    from airflow.metrics import otel_logger, statsd_logger
    from airflow.metrics.base_stats_logger import NoStatsLogger

__all__ = ["NoStatsLogger", "backend", "begin", "begun_by_each_task", "otel_logger"]


def begun_by_each_task() -> Any:
    """Return the client with which Airflow itself sends metrics in a task."""
    return task_runner.stats if SERIES >= (3, 3) else task_runner.Stats


def begin(factory: Callable[..., Any] | None = None) -> None:
    """Send metrics another way.

    :param factory: which; None: as Airflow is set
    """
    if SERIES >= (3, 3):
        stats.initialize(factory=factory or get_stats_factory(), export_legacy_names=False)
    elif SERIES >= (3, 2):
        stats.initialize(factory=factory or get_stats_factory(stats))
    else:
        set_so = {
            "statsd_on": statsd_logger.get_statsd_logger,
            "otel_on": otel_logger.get_otel_logger,
        }
        on = [get for name, get in set_so.items() if conf.getboolean("metrics", name)]
        stats.instance = None
        type(stats).factory = factory or on[0]


def backend() -> Any:
    """Return the client that sends them."""
    if SERIES >= (3, 3):
        return begun_by_each_task()._get_backend()  # noqa: SLF001
    stats.gauge  # noqa: B018  it makes one
    return stats.instance
