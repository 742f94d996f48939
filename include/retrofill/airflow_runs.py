"""What a task may ask Airflow: the params of its DAG run, and which DAG runs are active."""

import logging
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.configuration import conf

from retrofill.compat import Context, is_paused
from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.notifier import notify, notify_briefly
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.invoke import GRACE_S
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.state.maintenance import OpenRun
from retrofill.state.worst import worst_of

log = logging.getLogger(__name__)

_NOT_OVER = ["queued", "running"]


def params_of(context: Context) -> dict[str, Any]:
    """Return the params of a DAG run, which must be those it was triggered with.

    :raises ConfigError: Airflow is set to ignore the conf of a DAG run, and this one has a conf
        with other values
    """
    params = dict(context["params"])
    asked = context["dag_run"].conf or {}
    ignored = sorted(
        name for name, value in asked.items() if name not in params or params[name] != value
    )
    if ignored:
        raise ConfigError(
            f"{', '.join(map(quoted, ignored))}: this Airflow ignores what a DAG run is triggered"
            " with, by its setting [core] dag_run_conf_overrides_params = False; set it to True, or"
            " trigger the DAG with only its own params"
        )
    return params


def require_time(timeout: timedelta | None, function_timeout_s: float) -> None:
    """Log Airflow's limits on the tasks of a run, and check that each has time for a call.

    :param timeout: after which Airflow ends a task that calls; None: never
    :raises ConfigError: it would end before a call certainly has a response
    """
    log.info(
        "Airflow: up to %s tasks at once in all (parallelism), up to %s mapped instances"
        " (max_map_length), %s for each task (execution timeout)",
        conf.get("core", "parallelism"),
        conf.get("core", "max_map_length"),
        timeout or "any time",
    )
    if timeout is not None and timeout.total_seconds() <= function_timeout_s:
        raise ConfigError(
            f"Airflow ends each task after {timeout} (execution_timeout, by default that of [core]"
            f" default_task_execution_timeout), and a call of the function may take"
            f" {function_timeout_s:,} s: give tasks more time than a call"
        )


def grace_s() -> float:
    """Return the seconds between Airflow's request to end a task and its killing it.

    :raises ConfigError: the setting is not such a number
    """
    setting = conf.get("retrofill", "grace_period", fallback=str(GRACE_S))
    try:
        seconds = float(setting)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(
            f"Airflow's setting [retrofill] grace_period: {quoted(setting)} is not allowed; give"
            " a number of seconds, 0 or more"
        )
    return seconds


class TaskAirflow:
    """Airflow, as far as a task may use it; see :class:`retrofill.pipeline.rescue.Airflow`."""

    def __init__(self, context: Context) -> None:
        self._count = context["ti"].get_dr_count
        self._context = context

    @property
    def most_mapped(self) -> int:
        """The most instances of a mapped task that Airflow accepts."""
        return conf.getint("core", "max_map_length")

    @property
    def slots(self) -> Slots:
        """The Airflow slots of the tasks that call; a task cannot see the size of its pool."""
        dag = self._context["dag"]
        return Slots(
            conf.getint("core", "parallelism"), dag.max_active_tasks, dag.get_task("invoke").pool
        )

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether one of these DAG runs of a DAG is queued or running."""
        return self._count(dag_id=dag_id, run_ids=list(dag_run_ids), states=_NOT_OVER) > 0

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether the next of these waits for the slot of this DAG run.

        DAG runs of a Backfill have slots of their own.
        """
        own, dag = self._context["dag_run"], self._context["dag"]
        if dag_id != own.dag_id or own.run_type == "backfill":
            return False
        if self._count(dag_id=dag_id, run_ids=list(dag_run_ids), states=["running"]):
            return False
        return self._count(dag_id=dag_id, states=["running"]) >= dag.max_active_runs

    def tell_abandoned(self, conn: Connection, run: OpenRun) -> None:
        """Send the report of a run that another closed.

        If that fails, it is only logged: the task that closed the run has its own work.
        """
        config = RunConfig.from_stored(runs.get_run(conn, run.run_id).config)
        report = runs.get_report(conn, run.run_id)
        try:
            worst = worst_of(conn, run.job_id, run.run_id)
            notify(config, report, run.dag_id, run.dag_run_ids[-1], worst=worst)
        except Exception:
            log.exception("the notification of run %d could not be sent", run.run_id)
        else:
            runs.mark_notified(conn, run.run_id)

    def tell_if_paused(self, conn: Connection, run: OpenRun) -> None:
        """Report once that a run waits for its paused DAG, of which Airflow starts no task.

        If that fails, it is only logged.
        """
        try:
            stored = runs.get_run(conn, run.run_id)
            if stored.wait_notified or not is_paused(self._context, run.dag_id):
                return
            why = (
                f"Run {run.run_id} is not at its end, and Airflow starts no task of it, because the"
                f" DAG {run.dag_id} is paused. Nothing is lost: it continues when the DAG is"
                " switched on again."
            )
            config = RunConfig.from_stored(stored.config)
            notify_briefly(config, "waits", why, run.dag_id, run.dag_run_ids[-1])
        except Exception:
            log.exception("the wait of run %d for its paused DAG could not be reported", run.run_id)
        else:
            runs.mark_wait_notified(conn, run.run_id)
