"""The task that opens a run and its set, or shows why it does not."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.bases.xcom import BaseXCom

from retrofill.airflow_runs import TaskAirflow, params_of, require_time
from retrofill.announcing import headline, note
from retrofill.compat import BaseOperator, Context, DownstreamTasksSkipped, shortcomings
from retrofill.config import RunConfig, params_for
from retrofill.connections import wiring
from retrofill.model.errors import ConfigError, FunctionChanged, RetrofillError
from retrofill.model.runs import REFUSED, DagRun, SetRef
from retrofill.notifier import check_targets
from retrofill.operators import stored_run
from retrofill.pipeline.approve import needs_approval
from retrofill.pipeline.canary import has_canary
from retrofill.pipeline.open_run import NotAlone, open_run
from retrofill.pipeline.overlap import SOONEST_S, await_turn
from retrofill.sources.kind import Interval
from retrofill.state import limits, runs
from retrofill.state.connection import PATIENCE_S, Connection
from retrofill.wiring import needed_by

LONGEST_REASON = 2_000
"""Characters kept, for its page, of the reason why no run was opened."""


class OpenRunOperator(BaseOperator):
    """Check the params, and open the run and its set.

    :param source: the name of the source's kind
    :param problems: why no run is opened, one sentence each; empty: open it
    """

    def __init__(self, *, source: str, problems: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.problems = problems

    def execute(self, context: Context) -> list[int]:
        """Return the set that was opened: number of the run, number of the set.

        :raises DownstreamTasksSkipped: the run is a preview; or the set needs no canary, no
            approval or no report files
        """
        for sentence in shortcomings():
            self.log.warning("%s", sentence)
        return self.execute_again(context)

    def execute_again(self, context: Context, event: Any = None) -> list[int]:
        """Open the set; Airflow calls this again after each wait for other runs of the job."""
        del event
        try:
            ref, config = self._open(context)
        except RetrofillError as error:
            # Otherwise the message would only be at the end of a traceback.
            self.log.error("%s", error)  # noqa: TRY400  Airflow itself logs the traceback
            context["ti"].xcom_push(REFUSED, str(error)[:LONGEST_REASON])
            raise
        needed = {
            "canary": has_canary(config, ref),
            "approve": needs_approval(config, ref),
            "write_report": config.report.report_to is not None,
        }
        if all(needed.values()):
            return list(ref)
        # A task that is skipped here costs no process.
        context["ti"].xcom_push(BaseXCom.XCOM_RETURN_KEY, list(ref))
        raise _skipping(task for task, is_needed in needed.items() if not is_needed)

    def _open(self, context: Context) -> tuple[SetRef, RunConfig]:
        dag_run, wire = context["dag_run"], wiring()
        with wire.open_state(patience_s=PATIENCE_S) as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is not None:
                # Everything was fixed when the run was opened. Check that it is still possible.
                config, run = stored_run(conn, ref)
                try:
                    wire.plan(config, run=run)
                except FunctionChanged as error:
                    limits.stop(conn, ref.run_id, str(error))
                    raise
                self.log.info("run %d of job %s: set %d", run.run_id, run.job, ref.set_no)
                return ref, config
        if self.problems:
            raise ConfigError(*self.problems)
        config = params_for(self.source).config(params_of(context))
        check_targets(config)
        if store := wire.store_of(config):
            folder, place = store
            place.require_writable(folder)
        interval = Interval(dag_run.data_interval_start, dag_run.data_interval_end)
        own = DagRun(dag_run.dag_id, dag_run.run_id)
        asked_by = dag_run.triggering_user_name or ""
        with wire.open_state(needed_by(config), patience_s=PATIENCE_S) as conn:
            alone_but = self._await_turn(context, conn, config, own)
            plan = wire.plan(config, interval, run_id=runs.next_run_id(conn))
            require_time(self.dag.get_task("invoke").execution_timeout, plan.function.timeout_s)
            try:
                opened = open_run(conn, plan, own, asked_by=asked_by, alone_but=alone_but)
            except NotAlone:
                self.log.info("another run of the job was opened in the meantime")
                self._look_again(SOONEST_S)
            if opened is not None:
                note(context, headline(runs.get_run(conn, opened.run_id), config.source.label()))
        if opened is None:
            raise _skipping(self.get_flat_relative_ids())
        return opened, config

    def _await_turn(
        self, context: Context, conn: Connection, config: RunConfig, own: DagRun
    ) -> Sequence[int] | None:
        """Return the open runs that may stay open when this run opens; None: any may.

        :raises TaskDeferred: the DAG run must wait for its turn
        """
        if config.job.overlap != "wait" or config.calls.preview:
            return None
        known = runs.find_job(conn, config.job_name)
        if known is None:
            return ()
        turn = await_turn(conn, known.job_id, own, TaskAirflow(context))
        if turn.look_again_s is not None:
            self._look_again(turn.look_again_s)
        return turn.but

    def _look_again(self, after_s: float) -> NoReturn:
        """Free the worker slot, and start again later."""
        trigger = TimeDeltaTrigger(timedelta(seconds=after_s))
        self.defer(trigger=trigger, method_name="execute_again")
        raise AssertionError("defer has not raised")


def _skipping(tasks: Iterable[str]) -> DownstreamTasksSkipped:
    return DownstreamTasksSkipped(tasks=sorted(tasks))  # type: ignore[no-untyped-call]
