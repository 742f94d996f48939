"""The task that reports a run at its end, and determines the state of its DAG run."""

import time
from typing import Any

from airflow.sdk import AssetAlias

from retrofill.airflow_runs import TaskAirflow
from retrofill.announcing import announce, note, note_end
from retrofill.compat import AirflowSkipException, BaseOperator, Context
from retrofill.config import params_for
from retrofill.connections import task_state as open_state
from retrofill.model.errors import FINAL, ConfigError, StateError
from retrofill.model.report import Report
from retrofill.model.runs import REFUSED, SetRef
from retrofill.notifier import notify, notify_briefly
from retrofill.operators import NOT_OPENED, stored_run
from retrofill.pipeline.close_run import conclude
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.state.maintenance import OpenRun
from retrofill.state.worst import worst_of

_KILLED_WITHIN_S = 12.0
"""Seconds after which Airflow has killed a task that it has asked to end: it checks every 5."""


class NotifyOperator(BaseOperator):
    """Send the run's notification, once, and fail if anything is missing.

    Airflow always runs this task, even if someone has marked the DAG run as failed, and takes the
    state of the DAG run from it. So no DAG run is green while work is missing.

    :param source: the name of the source's kind
    :param alias: the alias of the jobs' assets, one of which is updated
    """

    def __init__(self, *, source: str, alias: AssetAlias, **kwargs: Any) -> None:
        # Also an inlet, to find out whether an earlier try has sent the event.
        super().__init__(outlets=[alias], inlets=[alias], **kwargs)
        self.source = source

    def execute(self, context: Context) -> None:
        """Send the report to the run's targets; close a run that was left open.

        :raises AirflowSkipException: the run continues with another set
        :raises ConfigError: no run was opened
        :raises RunIncomplete: something is left, or close_run did not end
        """
        try:
            with open_state() as conn:
                ref = self._set_of(context, conn)
                if ref is not None:
                    self._conclude(context, conn, ref)
                    return
        except StateError as error:
            if _is_last_try(context, error):
                what = "did not start" if _why_refused(context) else "could not be closed"
                self._notify_briefly(context, what, str(error))
            raise
        why = _why_refused(context)
        self._notify_briefly(context, "did not start", why)
        note(context, f"no run was opened: {why}")
        raise ConfigError(NOT_OPENED, *filter(None, [why]))

    @staticmethod
    def _conclude(context: Context, conn: Connection, ref: SetRef) -> None:
        config, run = stored_run(conn, ref)
        airflow, dag_run = TaskAirflow(context), context["dag_run"]

        def send(report: Report) -> None:
            worst = worst_of(conn, run.job_id, run.run_id)
            notify(config, report, dag_run.dag_id, dag_run.run_id, worst=worst)

        try:
            report = conclude(conn, ref, airflow, send)
        finally:
            note_end(context, conn, run)
        if report is None:
            this = OpenRun(run.run_id, run.job_id, run.job, dag_run.dag_id, [dag_run.run_id])
            airflow.tell_if_paused(conn, this)
            raise AirflowSkipException("the run continues with another set, which sends the report")
        announce(context, run, report)

    def _notify_briefly(self, context: Context, what: str, why: str) -> None:
        dag_run = context["dag_run"]
        params = {**context["params"], **(dag_run.conf or {})}
        config, _ = params_for(self.source).salvage(params)
        notify_briefly(config, what, why, dag_run.dag_id, dag_run.run_id)

    @staticmethod
    def _set_of(context: Context, conn: Connection) -> SetRef | None:
        """Return the set of this DAG run; None: it has opened none.

        An ``open_run`` that opened nothing and gave no reason may have been asked to end a moment
        ago. It may still commit, so this waits until Airflow has killed it.
        """
        dag_run, give_up_at = context["dag_run"], time.monotonic() + _KILLED_WITHIN_S
        while (ref := runs.find_set(conn, dag_run.dag_id, dag_run.run_id)) is None:
            if _why_refused(context) or time.monotonic() > give_up_at:
                break
            time.sleep(1.0)
        return ref


def _why_refused(context: Context) -> str:
    """Return why ``open_run`` opened nothing; empty: unknown."""
    return str(context["ti"].xcom_pull(task_ids="open_run", key=REFUSED) or "")


def _is_last_try(context: Context, error: StateError) -> bool:
    ti = context["ti"]
    return isinstance(error, FINAL) or ti.try_number > ti.max_tries
