"""The task that calls the canary of a run, and continues only if it succeeds."""

from collections.abc import Callable
from typing import Any

from retrofill.airflow_runs import TaskAirflow
from retrofill.compat import AirflowSkipException, Context
from retrofill.connections import task_state as open_state
from retrofill.model.errors import RunIncomplete
from retrofill.operators import CallOperator, unfinished_run
from retrofill.pipeline.canary import has_canary, judge, note
from retrofill.state.canary import find_canary


class CanaryOperator(CallOperator):
    """Call the items of the canary before all others, and forecast the rest from them."""

    def work(self, context: Context, progressed: Callable[[], None]) -> dict[str, Any] | None:
        """Return the findings; None: there was no item for a canary.

        :raises AirflowSkipException: no canary is requested
        :raises RunIncomplete: too much of the canary has failed; nothing else is called
        """
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            if not has_canary(config, self.ref):
                message = "no canary is requested"
                raise AirflowSkipException(message)
            canary = find_canary(conn, run.run_id)
        if canary is None:
            self.log.info("there is no item to be a canary")
            return None
        at_once = TaskAirflow(context).slots.at_once
        try:
            self.call(context, config, run, canary.batch_id, progressed, counts=True)
        except RunIncomplete:
            # A limit of the run was reached; the findings until then are still useful.
            with open_state() as conn:
                note(conn, run, config, canary.batch_id, at_once=at_once)
            raise
        with open_state() as conn:
            return judge(conn, run, config, canary.batch_id, at_once=at_once).as_json()
