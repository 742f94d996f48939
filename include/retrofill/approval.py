"""The task that asks for approval of a run's plan, built on Airflow's own approval."""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from retrofill.compat import AirflowSkipException, Context, let_wait
from retrofill.config import RunConfig
from retrofill.connections import task_state as open_state
from retrofill.connections import wiring
from retrofill.model.approval import ApprovalStatus
from retrofill.model.errors import ConfigError
from retrofill.model.runs import Run
from retrofill.notifier import notify_briefly
from retrofill.operators import RetrofillOperator, stored_run, unfinished_run
from retrofill.pipeline.approve import (
    needs_approval,
    note_changes,
    plan_to_approve,
    record_answer,
    request_approval,
    void_approval,
    was_approved,
)
from retrofill.state import runs
from retrofill.state.connection import Connection


class ApproveOperator(RetrofillOperator, ApprovalOperator):
    """Wait, without a worker slot, until someone approves the plan, in the UI or via REST.

    No answer in time counts as rejection.
    """

    template_fields = ("opened",)

    def __init__(self, *, opened: Any, **kwargs: Any) -> None:
        super().__init__(
            opened=opened,
            subject="Approve the plan",
            defaults=ApprovalOperator.REJECT,
            # Airflow would use this as the time to wait, which is set for each run.
            execution_timeout=None,
            **kwargs,
        )

    def execute(self, context: Context) -> None:
        """Ask, with the plan in the body; Airflow continues with :meth:`execute_complete`.

        :raises AirflowSkipException: no approval is requested
        :raises RunIncomplete: the plan was turned down before
        """
        with open_state() as conn:
            config, run = stored_run(conn, self.ref)
            if not needs_approval(config, self.ref):
                raise AirflowSkipException("no approval is requested")
            plan = plan_to_approve(conn, run)
            if plan is None:
                return
            unfinished_run(context, conn, self.ref)
            # Identifies the request: if the task is cleared, Airflow raises this number.
            mark = str(context["ti"].max_tries)
            if was_approved(run, mark):
                # The previous try got the answer, and was interrupted after that.
                self._proceed(conn, config, run)
                return
            self.body = request_approval(conn, run, config, plan, mark)
            run = runs.get_run(conn, run.run_id)
        self._notify(context, config, run)
        self.subject = f"Run {run.run_id} of {run.job}: approve its plan"
        let_wait(self, timedelta(hours=config.approval.approve_within_hours))
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Act on the answer: continue, or withdraw the plan and skip the tasks that call.

        :raises ConfigError: the plan was approved, but can no longer be carried out
        """
        if "error" in event:
            return super().execute_complete(context, event)
        (choice,) = event["chosen_options"]
        user = event.get("responded_by_user") or {}
        answer = ApprovalStatus.REJECTED
        if choice == self.APPROVE:
            answer = ApprovalStatus.APPROVED
        elif event.get("timedout") or not user:
            answer = ApprovalStatus.EXPIRED
        with open_state() as conn:
            config, run = stored_run(conn, self.ref)
            by = str(user.get("name") or user.get("id") or "")
            if record_answer(conn, run, answer, by):
                self._proceed(conn, config, run)
        return super().execute_complete(context, event)

    def _notify(self, context: Context, config: RunConfig, run: Run) -> None:
        """Report that the plan waits. A failure is only logged."""
        dag_run = context["dag_run"]
        why = (
            f"Run {run.run_id}: the plan {run.approval.text if run.approval else 'waits'}. Approve"
            " or reject it in Airflow, under Required Actions. Until then nothing more is called. A"
            " plan that is not approved in time is rejected."
        )
        try:
            notify_briefly(config, "waits for your approval", why, dag_run.dag_id, dag_run.run_id)
        except Exception:
            self.log.exception("the waiting plan could not be reported")

    def _proceed(self, conn: Connection, config: RunConfig, run: Run) -> None:
        """Check that the approved plan still holds, and count what has changed in the source.

        :raises ConfigError: function or source have changed
        """
        try:
            wiring().plan(config, run=run)
        except ConfigError as error:
            void_approval(conn, run, str(error))
            raise
        note_changes(conn, run, config, wiring().changes_of(config, run))
