"""The task that opens a run and its set, or says why it opens none."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

from retrofill.airflow_runs import params_of, require_time
from retrofill.compat import BaseOperator, Context, DownstreamTasksSkipped, shortcomings
from retrofill.config import RunConfig, params_for
from retrofill.connections import wiring
from retrofill.model.errors import ConfigError, FunctionChanged, RetrofillError
from retrofill.model.runs import REFUSED, SetRef
from retrofill.notifier import check_targets
from retrofill.operators import stored_run
from retrofill.pipeline.approve import asks
from retrofill.pipeline.canary import has_canary
from retrofill.pipeline.open_run import DagRun, open_run
from retrofill.sources.kind import Interval
from retrofill.state import limits, runs

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
            canary, or is one that nobody is asked about
        """
        for sentence in shortcomings():
            self.log.warning("%s", sentence)
        try:
            ref, config = self._open(context)
        except RetrofillError as error:
            # Else the mistake would stand at the end of a traceback.
            self.log.error("%s", error)  # noqa: TRY400  the traceback is Airflow's to write
            context["ti"].xcom_push(REFUSED, str(error)[:_LONGEST_REASON])
            raise
        needed = {"canary": has_canary(config, ref), "approve": asks(config, ref)}
        if all(needed.values()):
            return list(ref)
        # Skipped here, they cost no process.
        context["ti"].xcom_push(BaseXCom.XCOM_RETURN_KEY, list(ref))
        rest = [task for task, is_needed in needed.items() if not is_needed]
        raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]

    def _open(self, context: Context) -> tuple[SetRef, RunConfig]:
        dag_run, wire = context["dag_run"], wiring()
        with wire.open_state() as conn:
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
        interval = Interval(dag_run.data_interval_start, dag_run.data_interval_end)
        with wire.open_state() as conn:
            plan = wire.plan(config, interval, run_id=runs.next_run_id(conn))
            require_time(self.dag.get_task("invoke").execution_timeout, plan.function.timeout_s)
            opened = open_run(conn, plan, DagRun(dag_run.dag_id, dag_run.run_id))
        if opened is None:
            rest = sorted(self.get_flat_relative_ids())
            raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]
        return opened, config
