"""The operators of a run: each builds its collaborators from connections and calls a use case."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from retrofill.airflow_runs import TaskAirflow, grace_s
from retrofill.announcing import note_of_set
from retrofill.compat import AirflowSkipException, AirflowTaskTerminated, BaseOperator, Context
from retrofill.config import RunConfig
from retrofill.connections import task_state as open_state
from retrofill.connections import wiring
from retrofill.engine.progress import Invoked
from retrofill.export.report import export_run
from retrofill.lineage import lineage_of
from retrofill.metrics import sender
from retrofill.model.errors import ConfigError, FunctionUnusable, Interrupted, RunIncomplete
from retrofill.model.runs import NOT_MAPPED, Run, SetRef, TaskName
from retrofill.model.selection import Place
from retrofill.pipeline.approve import needs_approval, require_approved
from retrofill.pipeline.canary import has_canary, record_findings, require_success
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import Enqueued, enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import PartitionTask, list_partitions
from retrofill.pipeline.plan_batches import BatchTask, plan_batches
from retrofill.pipeline.redrive import redrive_quarantine
from retrofill.pipeline.show_plan import show_plan
from retrofill.processes import ask_to_end, die_with_parent, is_dead, own_name
from retrofill.state import exports, limits, runs
from retrofill.state.canary import find_canary
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease
from retrofill.tries import Tries

NOT_OPENED = "this DAG run has opened no run; see the log of open_run"


def stored_run(conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return a run and its configuration, as they were fixed when it was opened.

    Other tasks than ``open_run`` must not read the DAG run's params: a job file or an Airflow
    setting may have changed them in the meantime.
    """
    run = runs.get_run(conn, ref.run_id)
    return RunConfig.from_stored(run.config), run


def unfinished_run(context: Context, conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return a run and its configuration, to a task that works on it.

    If the run is closed, someone has cleared the task: the run is opened again. But a task that
    outlives its DAG run opens nothing.
    """
    config, run = stored_run(conn, ref)
    dag_run = context["dag_run"]
    if run.status == "incomplete" and TaskAirflow(context).lives(dag_run.dag_id, [dag_run.run_id]):
        runs.reopen(conn, ref.run_id)
    return config, run


class RetrofillOperator(BaseOperator):
    """A task of an open set.

    :param opened: the set, as ``open_run`` returned it
    """

    template_fields: Sequence[str] = ("opened",)

    def __init__(self, *, opened: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.opened = opened

    @property
    def ref(self) -> SetRef:
        """The set of this task."""
        if not self.opened:
            raise ConfigError(NOT_OPENED)
        return SetRef(*self.opened)


class PatientOperator(RetrofillOperator):
    """A long task, which is retried as long as its tries make progress."""

    def execute(self, context: Context) -> Any:
        """Do the task's work.

        :raises NoProgress: too many tries in a row have made no progress
        :raises Interrupted: Airflow has ended the task
        """
        tries = Tries(context)
        tries.require_progress()
        try:
            return self.work(context, tries.progressed)
        except AirflowTaskTerminated as error:
            # Airflow itself would not retry.
            raise Interrupted("the task was asked to end") from error

    @abstractmethod
    def work(self, context: Context, progressed: Callable[[], None]) -> Any:
        """Do the task's work.

        :param progressed: to be called after work that no other try needs to repeat
        """


class ListPartitionsOperator(RetrofillOperator):
    """List the partitions of the run's source that are not read to their end."""

    def execute(self, context: Context) -> list[PartitionTask]:
        """Return one entry for each ``enqueue`` task."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            source = wiring().survey_of(config, run)
            most_mapped = TaskAirflow(context).most_mapped
            return list_partitions(conn, self.ref, config, source, most_mapped)


class EnqueueOperator(PatientOperator):
    """Read the items of one partition, and enqueue the new ones.

    :param partition: the partition, as ``list_partitions`` returned it; not a template field,
        because it contains keys
    """

    def __init__(self, *, partition: PartitionTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = partition

    def work(self, context: Context, progressed: Callable[[], None]) -> Enqueued | dict[str, int]:
        """Return the counts of what was listed, or redriven."""
        part_no = self.partition["part_no"]
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            if config.redrive.place is Place.QUARANTINE:
                return redrive_quarantine(conn, self.ref, part_no, config, progressed=progressed)
            return enqueue(
                conn,
                self.ref,
                part_no,
                wiring().source_of(config, run),
                wiring().fits(config, run),
                redriven=config.redrive.selection,
                progressed=progressed,
            )


class PlanBatchesOperator(RetrofillOperator):
    """Cut the in-process cache into batches."""

    def execute(self, context: Context) -> list[BatchTask]:
        """Return one entry for each ``invoke`` task."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            airflow, wire = TaskAirflow(context), wiring()
            planned = plan_batches(conn, self.ref, airflow)
            if needs_approval(config, self.ref) or has_canary(config, self.ref):
                show_plan(
                    conn,
                    run,
                    config,
                    shape=wire.shape_of(config, run),
                    source=wire.survey_of(config, run),
                    slots=airflow.slots,
                    capacity=wire.capacity_of(config, run),
                )
            return planned


class CallOperator(PatientOperator):
    """A task that calls the function with the items of a batch until all are settled."""

    _stop_asked = False

    def call(
        self,
        context: Context,
        config: RunConfig,
        run: Run,
        batch_id: int,
        progressed: Callable[[], None],
        *,
        counts: bool = False,
    ) -> Invoked | None:
        """Return the counts of the task's calls; None: there was nothing left to do.

        :param counts: whether to record the usage of each call
        """
        grace = grace_s()
        die_with_parent()
        ask_to_end(self.on_kill)
        map_index = context["ti"].map_index
        task = TaskName(self.task_id, NOT_MAPPED if map_index is None else map_index)
        with closing(BatchLease(wiring().state_dsn, batch_id, own_name(), task)) as lease:
            if not take(lease, holder_is_dead=is_dead):
                self.log.info("every item of this batch is settled")
                return None
            self.log.info(
                "batch %d of run %d: calls of up to %d items to %s version %s",
                lease.batch_id,
                run.run_id,
                run.delivery.items_per_call,
                run.function.name,
                run.function.version or "none",
            )
            # To report usage takes the function's service time: request it only if it is recorded.
            counts = counts or config.limits.max_cost is not None
            with closing(wiring().client_of(config, run, reports_usage=counts)) as client:
                invoker = Invoker(
                    lease=lease,
                    client=client,
                    shape=wiring().shape_of(config, run),
                    run=run,
                    config=config,
                    keeps_usage=counts,
                    stop_asked=lambda: self._stop_asked,
                    grace_s=grace,
                    progressed=progressed,
                    send_metrics=sender(config, run, task.map_index),
                )
                try:
                    return invoker.run()
                except FunctionUnusable as error:
                    with open_state() as conn:
                        limits.stop(conn, run.run_id, str(error))
                    raise

    def on_kill(self) -> None:
        """Send nothing more; calls in flight still get a moment to end."""
        self._stop_asked = True


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
                raise AirflowSkipException("no canary is requested")
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
                record_findings(conn, run, config, canary.batch_id, at_once=at_once)
            raise
        with open_state() as conn:
            found = record_findings(conn, run, config, canary.batch_id, at_once=at_once)
            require_success(conn, run, canary.batch_id, found)
        return found.as_json()


class InvokeOperator(CallOperator):
    """Call the function with the items of one batch.

    :param batch: the batch, as ``plan_batches`` returned it
    """

    def __init__(self, *, batch: BatchTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch = batch

    def work(self, context: Context, progressed: Callable[[], None]) -> Invoked | None:
        """Return the counts of the task's calls; None: there was nothing left to do."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
        require_approved(config, run)
        return self.call(context, config, run, self.batch["batch_id"], progressed)


class CloseRunOperator(BaseOperator):
    """Close the set of this DAG run, and with the last set also the run."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the lineage of the run, also if this task failed."""
        return lineage_of(task_instance.dag_id, task_instance.run_id)

    def execute(self, context: Context) -> bool:
        """Return whether the run needs another set.

        :raises ConfigError: this DAG run has opened no run
        """
        dag_run = context["dag_run"]
        with open_state() as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is None:
                raise ConfigError(NOT_OPENED)
            unfinished_run(context, conn, ref)
            return close_run(conn, ref, TaskAirflow(context))


class NextSetOperator(TriggerDagRunOperator):
    """Trigger the DAG run of the run's next set; skipped after the last set.

    :param opened: the set that was closed
    :param more: what ``close_run`` returned
    """

    # No ``conf``: it contains the run's params, which must not reach a template.
    template_fields: Sequence[str] = ("opened", "more")

    def __init__(self, *, opened: Any, more: Any, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id="", logical_date=None, skip_when_already_exists=True, **kwargs
        )
        self.opened = opened
        self.more = more

    def execute(self, context: Context) -> None:
        """Trigger the same DAG. The params only show in the UI; its tasks read the state.

        :raises AirflowSkipException: the source is exhausted
        """
        if not self.more:
            raise AirflowSkipException("the source is exhausted")
        dag_run = context["dag_run"]
        ref = SetRef(*self.opened)
        with open_state() as conn:
            config, run = stored_run(conn, ref)
        self.note = note_of_set(run, config.source.label(), ref.set_no + 1)
        self.trigger_dag_id = dag_run.dag_id
        # Then it runs before DAG runs that were triggered later than this one.
        self.run_after = dag_run.run_after
        self.trigger_run_id = ref.next_dag_run_id(dag_run.run_id)
        self.conf = dict(context["params"])
        super().execute(context)


class WriteReportOperator(BaseOperator):
    """Write the result of each item, however the run ended, once it needs no further set."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return where the report files are, and their counts.

        :raises AirflowSkipException: there is no run, no files are requested, or the run continues
        :raises NotWritten: a retry may succeed
        """
        dag_run = context["dag_run"]
        with open_state() as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is None:
                raise AirflowSkipException("this DAG run has opened no run")
            config, _ = stored_run(conn, ref)
            store = wiring().store_of(config)
            if store is None:
                raise AirflowSkipException("no report files are requested")
            if runs.later_sets(conn, ref):
                raise AirflowSkipException("the run continues with another set")
            written = export_run(conn, ref.run_id, config.report.request, *store)
            exports.note_files(conn, ref.run_id, written)
        return written.as_json()
