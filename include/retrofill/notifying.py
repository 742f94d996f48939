"""The task that reports a run at its end, and decides how its DAG run ends."""

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
"""Seconds within which Airflow kills a task that it has asked to end: it checks every 5."""


class NotifyOperator(BaseOperator):
    """End the DAG run: send the run's notification, once, and fail unless all is well.

    Airflow runs this task however the others ended, also if someone has marked the DAG run as
    failed, and its state is the DAG run's. So nothing is green while work is missing.

    :param source: the name of the source's kind
    :param alias: the alias of the jobs' assets, one of which is updated
    """

    def __init__(self, *, source: str, alias: AssetAlias, **kwargs: Any) -> None:
        # Also an inlet, to see whether an earlier try has sent the event.
        super().__init__(outlets=[alias], inlets=[alias], **kwargs)
        self.source = source

    def execute(self, context: Context) -> None:
        """Send the report to the run's targets; close a run that was left open.

        :raises AirflowSkipException: the run continues with another set
        :raises ConfigError: no run was opened
        :raises RunIncomplete: something is left, or close_run did not end
        """
        dag_run = context["dag_run"]
        try:
            with open_state() as conn:
                ref = self._set_of(context, conn)
                if ref is not None:
                    config, run = stored_run(conn, ref)
                    airflow = TaskAirflow(context)

                    def tell(report: Report) -> None:
                        worst = worst_of(conn, run.job_id, run.run_id)
                        notify(config, report, dag_run.dag_id, dag_run.run_id, worst=worst)

                    try:
                        ended = conclude(conn, ref, airflow, tell)
                    finally:
                        note_end(context, conn, run)
                    if ended is None:
                        airflow.tell_if_paused(
                            conn,
                            OpenRun(
                                run.run_id, run.job_id, run.job, dag_run.dag_id, [dag_run.run_id]
                            ),
                        )
                        message = "the run continues with another set; it is notified at its end"
                        raise AirflowSkipException(message)
                    announce(context, run, ended)
                    return
        except StateError as error:
            if not _is_last_try(context, error):
                raise
            what = "did not start" if _why_refused(context) else "could not be closed"
            self._tell(context, what, str(error))
            raise
        why = _why_refused(context)
        self._tell(context, "did not start", why)
        note(context, f"no run was opened: {why}")
        raise ConfigError(NOT_OPENED, *filter(None, [why]))

    def _tell(self, context: Context, what: str, why: str) -> None:
        dag_run = context["dag_run"]
        asked = {**context["params"], **(dag_run.conf or {})}
        config, _ = params_for(self.source).salvage(asked)
        notify_briefly(config, what, why, dag_run.dag_id, dag_run.run_id)

    @staticmethod
    def _set_of(context: Context, conn: Connection) -> SetRef | None:
        """Return the set of this DAG run; None: it has opened none.

        An ``open_run`` that gives no reason for opening nothing may have been asked to end just
        now, and may still commit.
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
    """Return whether a task that fails with this error is not retried."""
    ti = context["ti"]
    return isinstance(error, FINAL) or ti.try_number > ti.max_tries
