"""The operators: each builds its collaborators from connections and calls one use case."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from retrofill.airflow_runs import TaskAirflow, grace_s
from retrofill.announcing import of_set
from retrofill.compat import (
    AirflowSkipException,
    AirflowTaskTerminated,
    BaseOperator,
    Context,
)
from retrofill.config import RunConfig
from retrofill.connections import task_state as open_state
from retrofill.connections import wiring
from retrofill.engine.progress import Invoked
from retrofill.lineage import lineage_of
from retrofill.metrics import teller
from retrofill.model.errors import (
    ConfigError,
    FunctionUnusable,
    Interrupted,
)
from retrofill.model.runs import NOT_MAPPED, Run, SetRef, TaskName
from retrofill.model.selection import Place
from retrofill.pipeline.approve import asks, require_approved
from retrofill.pipeline.canary import has_canary
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import Enqueued, enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import PartitionTask, list_partitions
from retrofill.pipeline.plan_batches import BatchTask, plan_batches
from retrofill.pipeline.redrive import Requeued, redrive_quarantine
from retrofill.pipeline.show_plan import show_plan
from retrofill.processes import ask_to_end, die_with_parent, is_dead, own_name
from retrofill.state import limits, runs
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease
from retrofill.tries import Tries

NOT_OPENED = "this DAG run has opened no run; see the log of open_run"


def stored_run(conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return a run and its configuration, as they were fixed when it was opened.

    Only ``open_run`` reads the DAG run's params: they may change in the meantime, with a job file
    or an Airflow setting.
    """
    run = runs.get_run(conn, ref.run_id)
    return RunConfig.from_stored(run.config), run


def unfinished_run(context: Context, conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return the same for a task that works on the run; a closed run is opened again.

    Someone has cleared the task. A task that outlives its DAG run opens nothing.
    """
    config, run = stored_run(conn, ref)
    dag_run = context["dag_run"]
    if run.status == "incomplete" and TaskAirflow(context).lives(dag_run.dag_id, [dag_run.run_id]):
        runs.reopen(conn, ref.run_id)
    return config, run


class RetrofillOperator(BaseOperator):
    """A task of a set that is open.

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
    """A task that may take long, and is retried for as long as its tries make progress."""

    def execute(self, context: Context) -> Any:
        """Work, unless too many earlier tries made no progress.

        :raises NoProgress: they did
        :raises Interrupted: Airflow has ended the task
        """
        tries = Tries(context)
        tries.require_progress()
        try:
            return self.work(context, tries.progressed)
        except AirflowTaskTerminated as error:
            # Airflow itself would not retry.
            raise Interrupted("the task was told to end") from error

    @abstractmethod
    def work(self, context: Context, progressed: Callable[[], None]) -> Any:
        """Do the task's work.

        :param progressed: called when something was done that no other try needs to repeat
        """


class ListPartitionsOperator(RetrofillOperator):
    """List the partitions of the run's source that are not read to their end."""

    def execute(self, context: Context) -> list[PartitionTask]:
        """Return one entry for each ``enqueue`` task."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            survey = wiring().survey_of(config, run)
            most_mapped = TaskAirflow(context).most_mapped
            return list_partitions(conn, self.ref, config, survey, most_mapped)


class EnqueueOperator(PatientOperator):
    """Read the items of one partition, and enqueue the new ones.

    :param partition: which partition, as ``list_partitions`` returned it; not a template field,
        because it contains names of keys
    """

    def __init__(self, *, partition: PartitionTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = partition

    def work(self, context: Context, progressed: Callable[[], None]) -> Enqueued | Requeued:
        """Return the counts of what was listed, or redriven."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
            if config.redrive.place is Place.QUARANTINE:
                return redrive_quarantine(
                    conn, self.ref, self.partition["part_no"], config, progressed=progressed
                )
            source, fits = wiring().source_of(config, run), wiring().fits(config, run)
            return enqueue(
                conn,
                self.ref,
                self.partition["part_no"],
                source,
                fits,
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
            if asks(config, self.ref) or has_canary(config, self.ref):
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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stop_asked = False

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
        """Return the counts of what was done; None: there was nothing left to do.

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
            # Reporting usage costs the function's service time, so it is requested only if counted.
            counts = counts or config.limits.max_cost is not None
            with closing(wiring().client_of(config, run, tells_usage=counts)) as client:
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
                    tell=teller(config, run, task.map_index),
                )
                try:
                    return invoker.run()
                except FunctionUnusable as error:
                    with open_state() as conn:
                        limits.stop(conn, run.run_id, str(error))
                    raise

    def on_kill(self) -> None:
        """Stop sending; calls in flight get a moment to be settled."""
        self._stop_asked = True


class InvokeOperator(CallOperator):
    """Call the function with the items of one batch.

    :param batch: which batch, as ``plan_batches`` returned it
    """

    def __init__(self, *, batch: BatchTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch = batch

    def work(self, context: Context, progressed: Callable[[], None]) -> Invoked | None:
        """Return the counts of what was done; None: there was nothing left to do."""
        with open_state() as conn:
            config, run = unfinished_run(context, conn, self.ref)
        require_approved(config, run)
        return self.call(context, config, run, self.batch["batch_id"], progressed)


class CloseRunOperator(BaseOperator):
    """Close the set that this DAG run has opened, and the run with its last set."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what the run has read and produced; also for a task that failed."""
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
    """Trigger the DAG run of the run's next set; skipped if the source is exhausted.

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
        """Trigger the same DAG. Its params are for people to see; its run is in the state.

        :raises AirflowSkipException: the source is exhausted
        """
        if not self.more:
            message = "the source is exhausted"
            raise AirflowSkipException(message)
        dag_run = context["dag_run"]
        ref = SetRef(*self.opened)
        with open_state() as conn:
            config, run = stored_run(conn, ref)
        self.note = of_set(run, config.source.label(), ref.set_no + 1)
        self.trigger_dag_id = dag_run.dag_id
        # So it comes before DAG runs that were triggered later, as if it were this one.
        self.run_after = dag_run.run_after
        self.trigger_run_id = ref.next_dag_run_id(dag_run.run_id)
        self.conf = dict(context["params"])
        super().execute(context)
