"""The task that opens a run and its set, or says why it opens none."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.bases.xcom import BaseXCom

from retrofill.airflow_runs import TaskAirflow, params_of, require_time
from retrofill.announcing import named, note
from retrofill.compat import BaseOperator, Context, DownstreamTasksSkipped, shortcomings
from retrofill.config import RunConfig, params_for
from retrofill.connections import wiring
from retrofill.model.errors import ConfigError, FunctionChanged, RetrofillError
from retrofill.model.runs import REFUSED, DagRun, SetRef
from retrofill.notifier import check_targets
from retrofill.operators import stored_run
from retrofill.pipeline.approve import asks
from retrofill.pipeline.canary import has_canary
from retrofill.pipeline.open_run import NotAlone, open_run
from retrofill.pipeline.overlap import SOONEST_S, await_turn
from retrofill.sources.kind import Interval
from retrofill.state import limits, runs
from retrofill.state.connection import PATIENCE_S, Connection
from retrofill.wiring import needed_by

_LONGEST_REASON = 2_000


class OpenRunOperator(BaseOperator):
    """Check what was asked for, and open the run and its set.

    :param source: the name of the source's kind
    :param problems: why no run is opened, one sentence each; none: it may be
    """

    def __init__(self, *, source: str, problems: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.problems = problems

    def execute(self, context: Context) -> list[int]:
        """Return the set that was opened: number of the run, number of the set.

        :raises DownstreamTasksSkipped: a preview was asked for, and shown; or the set has no
            canary, is one that nobody is asked about, or nobody wants report files
        """
        for sentence in shortcomings():
            self.log.warning("%s", sentence)
        return self._opened(context)

    def _opened(self, context: Context) -> list[int]:
        try:
            ref, config = self._open(context)
        except RetrofillError as error:
            # Else the mistake would stand at the end of a traceback.
            self.log.error("%s", error)  # noqa: TRY400  the traceback is Airflow's to write
            context["ti"].xcom_push(REFUSED, str(error)[:_LONGEST_REASON])
            raise
        needed = {
            "canary": has_canary(config, ref),
            "approve": asks(config, ref),
            "write_report": config.report.report_to is not None,
        }
        if all(needed.values()):
            return list(ref)
        # Skipped here, they cost no process.
        context["ti"].xcom_push(BaseXCom.XCOM_RETURN_KEY, list(ref))
        rest = [task for task, is_needed in needed.items() if not is_needed]
        raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]

    def execute_again(self, context: Context, event: Any) -> list[int]:
        """Go on after a rest."""
        del event
        return self._opened(context)

    def _open(self, context: Context) -> tuple[SetRef, RunConfig]:
        dag_run, wire = context["dag_run"], wiring()
        with wire.open_state(patience_s=PATIENCE_S) as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is not None:
                # All that the run does was fixed when it was opened; can it still be done?
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
        asking = DagRun(dag_run.dag_id, dag_run.run_id)
        asked_by = dag_run.triggering_user_name or ""
        with wire.open_state(needed_by(config), patience_s=PATIENCE_S) as conn:
            alone_but = self._await_turn(context, conn, config, asking)
            plan = wire.plan(config, interval, run_id=runs.next_run_id(conn))
            require_time(self.dag.get_task("invoke").execution_timeout, plan.function.timeout_s)
            try:
                opened = open_run(conn, plan, asking, asked_by=asked_by, alone_but=alone_but)
            except NotAlone:
                self.log.info("another run of the job was opened meanwhile")
                self._look_again(SOONEST_S)
            if opened is not None:
                note(context, named(runs.get_run(conn, opened.run_id), config.source.label()))
        if opened is None:
            rest = sorted(self.get_flat_relative_ids())
            raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]
        return opened, config

    def _await_turn(
        self, context: Context, conn: Connection, config: RunConfig, asking: DagRun
    ) -> Sequence[int] | None:
        """Return the open runs beside which a run that waits may open; None: it waits for none.

        :raises TaskDeferred: it is not its turn yet
        """
        if config.job.overlap != "wait" or config.calls.preview:
            return None
        known = runs.find_job(conn, config.job_name)
        if known is None:
            return ()
        turn = await_turn(conn, known.job_id, asking, TaskAirflow(context))
        if turn.look_again_s is not None:
            self._look_again(turn.look_again_s)
        return turn.but

    def _look_again(self, after_s: float) -> NoReturn:
        """Give the place of a worker back, and begin again later.

        :raises TaskDeferred: always
        """
        trigger = TimeDeltaTrigger(timedelta(seconds=after_s))
        self.defer(trigger=trigger, method_name="execute_again")
        raise AssertionError("defer has not raised")
