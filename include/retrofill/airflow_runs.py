"""What Retrofill asks Airflow: params of a DAG run, active DAG runs, and settings."""

import logging
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.configuration import conf

from retrofill.compat import Context, is_paused, shortcomings
from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.notifier import notify, notify_briefly
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.invoke import GRACE_S
from retrofill.pipeline.setup import AirflowFacts, ServerFacts
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.state.maintenance import OpenRun
from retrofill.state.worst import worst_of

log = logging.getLogger(__name__)

_ACTIVE = ["queued", "running"]


def params_of(context: Context) -> dict[str, Any]:
    """Return the params of a DAG run.

    :raises ConfigError: Airflow's settings ignore the conf of this DAG run, which has other values
    """
    params = dict(context["params"])
    asked = context["dag_run"].conf or {}
    ignored = sorted(
        name for name, value in asked.items() if name not in params or params[name] != value
    )
    if ignored:
        raise ConfigError(
            f"{', '.join(map(quoted, ignored))}: this Airflow ignores the conf of a DAG run,"
            " by its setting [core] dag_run_conf_overrides_params = False; set it to True, or"
            " trigger the DAG with only its own params"
        )
    return params


def require_time(timeout: timedelta | None, function_timeout_s: float) -> None:
    """Log Airflow's limits on the tasks of a run, and check that each has time for a call.

    :param timeout: the execution timeout of a task that calls; None: there is none
    :raises ConfigError: it is not longer than the timeout of a call
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
    """Return the seconds from Airflow's request to end a task until it kills the task.

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


def airflow_facts(server: ServerFacts | None = None) -> AirflowFacts:
    """Return the settings of this process.

    :param server: the facts from Airflow's database; None: this process cannot read it
    """
    wrong_grace = ""
    try:
        grace_s()
    except ConfigError as error:
        wrong_grace = str(error)
    return AirflowFacts(
        executor=conf.get("core", "executor"),
        takes_conf=conf.getboolean("core", "dag_run_conf_overrides_params"),
        base_url=conf.get("api", "base_url", fallback=""),
        execution_api_server_url=conf.get("core", "execution_api_server_url", fallback=""),
        wrong_grace=wrong_grace,
        notices=shortcomings(),
        server=server,
    )


class TaskAirflow:
    """Airflow, as a task can use it; see :class:`retrofill.pipeline.rescue.Airflow`."""

    def __init__(self, context: Context) -> None:
        self._count = context["ti"].get_dr_count
        self._context = context

    @property
    def most_mapped(self) -> int:
        """The most instances of a mapped task that Airflow accepts."""
        return conf.getint("core", "max_map_length")

    @property
    def slots(self) -> Slots:
        """Airflow's slots for the tasks that call. A task cannot see the size of its pool."""
        dag = self._context["dag"]
        return Slots(
            conf.getint("core", "parallelism"), dag.max_active_tasks, dag.get_task("invoke").pool
        )

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether one of these DAG runs of a DAG is queued or running."""
        return self._count(dag_id=dag_id, run_ids=list(dag_run_ids), states=_ACTIVE) > 0

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Return whether the next of these DAG runs waits for the slot of this one.

        The DAG runs of an Airflow backfill have their own slots.
        """
        own, dag = self._context["dag_run"], self._context["dag"]
        if dag_id != own.dag_id or own.run_type == "backfill":
            return False
        if self._count(dag_id=dag_id, run_ids=list(dag_run_ids), states=["running"]):
            return False
        return self._count(dag_id=dag_id, states=["running"]) >= dag.max_active_runs

    def tell_abandoned(self, conn: Connection, run: OpenRun) -> None:
        """Send the report of an abandoned run that this task has closed.

        A failure is only logged: this task still has its own work to do.
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
        """Report, once, that a run waits because its DAG is paused. A failure is only logged."""
        try:
            stored = runs.get_run(conn, run.run_id)
            if stored.wait_notified or not is_paused(self._context, run.dag_id):
                return
            why = (
                f"Run {run.run_id} is not complete, and Airflow starts none of its tasks, because"
                f" the DAG {run.dag_id} is paused. Nothing is lost: unpause the DAG to continue."
            )
            config = RunConfig.from_stored(stored.config)
            notify_briefly(config, "waits", why, run.dag_id, run.dag_run_ids[-1])
        except Exception:
            log.exception("the wait of run %d for its paused DAG could not be reported", run.run_id)
        else:
            runs.mark_wait_notified(conn, run.run_id)
