"""The task that calls the canary of a run, and goes on only if it is well."""

from collections.abc import Callable
from typing import Any

from retrofill.airflow_runs import TaskAirflow
from retrofill.compat import AirflowSkipException, Context
from retrofill.connections import task_state as open_state
from retrofill.model.errors import RunIncomplete
from retrofill.operators import CallOperator, run_at_work
from retrofill.pipeline.canary import has_canary, judge, note
from retrofill.state.canary import find_canary


class CanaryOperator(CallOperator):
    """Call the items of the canary, before all others, and judge by them what these will take."""

    def work(self, context: Context, progressed: Callable[[], None]) -> dict[str, Any] | None:
        """Return what was found; None: there was no item to be one.

        :raises AirflowSkipException: no canary was asked for
        :raises RunIncomplete: too much of the canary has failed; nothing else is called
        """
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
            if not has_canary(config, self.ref):
                message = "no canary was asked for"
                raise AirflowSkipException(message)
            canary = find_canary(conn, run.run_id)
        if canary is None:
            self.log.info("there is no item to be a canary")
            return None
        at_once = TaskAirflow(context).slots.at_once
        try:
            self.call(context, config, run, canary.batch_id, progressed, counts=True)
        except RunIncomplete:
            # A limit of the run was met meanwhile; what was found until then is worth a look.
            with open_state() as conn:
                note(conn, run, config, canary.batch_id, at_once=at_once)
            raise
        with open_state() as conn:
            return judge(conn, run, config, canary.batch_id, at_once=at_once).as_json()
