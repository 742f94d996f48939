"""The operators: each builds its collaborators from connections and calls one use case."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from retrofill.airflow_runs import TaskAirflow
from retrofill.compat import (
    AirflowSkipException,
    AirflowTaskTerminated,
    BaseOperator,
    Context,
)
from retrofill.config import RunConfig, params_for
from retrofill.connections import open_state, wiring
from retrofill.engine.progress import Invoked
from retrofill.model.errors import (
    FINAL,
    ConfigError,
    FunctionUnusable,
    Interrupted,
    StateError,
)
from retrofill.model.runs import REFUSED, Run, SetRef
from retrofill.notifier import notify, notify_briefly
from retrofill.pipeline.approve import asks, require_approved
from retrofill.pipeline.canary import has_canary
from retrofill.pipeline.close_run import close_run, conclude
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
from retrofill.state.upkeep import OpenRun
from retrofill.tries import Tries

_NOT_OPENED = "this DAG run has opened no run; see the log of open_run"

_KILLED_WITHIN_S = 12.0
"""Seconds within which Airflow has killed a task that it was told to end: it looks every 5."""


def stored_run(conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return a run and its configuration, as they were fixed when it was opened.

    Only ``open_run`` reads the DAG run's params: they may change meanwhile, with a job file or a
    setting of Airflow.
    """
    run = runs.get_run(conn, ref.run_id)
    return RunConfig.from_stored(run.config), run


def run_at_work(context: Context, conn: Connection, ref: SetRef) -> tuple[RunConfig, Run]:
    """Return the same for a task that works on the run; one that was closed is open again.

    Someone has cleared the task. One that outlives its DAG run opens nothing.
    """
    config, run = stored_run(conn, ref)
    dag_run = context["dag_run"]
    if run.state == "incomplete" and TaskAirflow(context).lives(dag_run.dag_id, [dag_run.run_id]):
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
        """The set this task belongs to."""
        if not self.opened:
            raise ConfigError(_NOT_OPENED)
        return SetRef(*self.opened)


class PatientOperator(RetrofillOperator):
    """A task that may be long, and is tried again for as long as its tries make progress."""

    def execute(self, context: Context) -> Any:
        """Work, unless the tries before this one were in vain.

        :raises NoProgress: they were
        :raises Interrupted: Airflow has ended the task
        """
        tries = Tries(context)
        tries.require_progress()
        try:
            return self.work(context, tries.progressed)
        except AirflowTaskTerminated as error:
            # Airflow itself would not try again.
            raise Interrupted("the task was told to end") from error

    @abstractmethod
    def work(self, context: Context, progressed: Callable[[], None]) -> Any:
        """Do what the task is for.

        :param progressed: called when something was done that no other try needs to do again
        """


class ListPartitionsOperator(RetrofillOperator):
    """List the partitions of the run's source that are not read to their end."""

    def execute(self, context: Context) -> list[PartitionTask]:
        """Return one entry for each enqueue task."""
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
            survey = wiring().survey_of(config, run)
            most_mapped = TaskAirflow(context).most_mapped
            return list_partitions(conn, self.ref, config, survey, most_mapped)


class EnqueueOperator(PatientOperator):
    """Retrieve the items of one partition, and enqueue those that are new.

    :param partition: which partition, as ``list_partitions`` returned it; not a template field,
        because it carries names of keys
    """

    def __init__(self, *, partition: PartitionTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = partition

    def work(self, context: Context, progressed: Callable[[], None]) -> Enqueued | Requeued:
        """Return the counts of what was listed, or redriven."""
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
            if config.redrive.redrive:
                return redrive_quarantine(
                    conn, self.ref, self.partition["part_no"], config, progressed=progressed
                )
            source, fits = wiring().source_of(config, run), wiring().fits(config, run)
            return enqueue(
                conn, self.ref, self.partition["part_no"], source, fits, progressed=progressed
            )


class PlanBatchesOperator(RetrofillOperator):
    """Cut what the in-process cache holds into batches."""

    def execute(self, context: Context) -> list[BatchTask]:
        """Return one entry for each invoke task."""
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
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
    """A task that calls the function with the items of a batch until every one is settled."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stop_asked = False

    def call(
        self,
        config: RunConfig,
        run: Run,
        batch_id: int,
        progressed: Callable[[], None],
        *,
        counts: bool = False,
    ) -> Invoked | None:
        """Return the counts of what was done; None: there was nothing left to do.

        :param counts: whether to record what each call has used
        """
        die_with_parent()
        ask_to_end(self.on_kill)
        with closing(BatchLease(wiring().state_dsn, batch_id, own_name())) as lease:
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
            # What is asked for costs the function's service time, so only who counts it asks.
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
                    progressed=progressed,
                )
                try:
                    return invoker.run()
                except FunctionUnusable as error:
                    with open_state() as conn:
                        limits.stop(conn, run.run_id, str(error))
                    raise

    def on_kill(self) -> None:
        """Stop sending; what is in flight gets a moment to be settled."""
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
            config, run = run_at_work(context, conn, self.ref)
        require_approved(config, run)
        return self.call(config, run, self.batch["batch_id"], progressed)


class CloseRunOperator(BaseOperator):
    """Close the set that this DAG run has opened, and the run with its last set."""

    def execute(self, context: Context) -> bool:
        """Return whether the run needs another set.

        :raises ConfigError: this DAG run has opened no run
        """
        dag_run = context["dag_run"]
        with open_state() as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is None:
                raise ConfigError(_NOT_OPENED)
            run_at_work(context, conn, ref)
            return close_run(conn, ref, TaskAirflow(context))


class NextSetOperator(TriggerDagRunOperator):
    """Ask for the DAG run of the run's next set; skipped when the source is exhausted.

    :param opened: the set that was closed
    :param more: what ``close_run`` returned
    """

    # No ``conf``: it holds the run's params, which must not reach a template.
    template_fields: Sequence[str] = ("opened", "more")

    def __init__(self, *, opened: Any, more: Any, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id="", logical_date=None, skip_when_already_exists=True, **kwargs
        )
        self.opened = opened
        self.more = more

    def execute(self, context: Context) -> None:
        """Trigger the same DAG; its params are for people to see, its run is in the state.

        :raises AirflowSkipException: the source is exhausted
        """
        if not self.more:
            message = "the source is exhausted"
            raise AirflowSkipException(message)
        dag_run = context["dag_run"]
        self.trigger_dag_id = dag_run.dag_id
        self.trigger_run_id = SetRef(*self.opened).next_dag_run_id(dag_run.run_id)
        self.conf = dict(context["params"])
        super().execute(context)


class NotifyOperator(BaseOperator):
    """End the DAG run: post the run's notification, once, and fail unless all is well.

    Airflow runs this task whatever became of the others, also when someone has marked the DAG run
    as failed; and its state is the DAG run's. So nothing is green while work is missing.

    :param source: the name of the source's kind
    """

    def __init__(self, *, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def execute(self, context: Context) -> None:
        """Send the report to the targets that the run names; close a run that was left open.

        :raises AirflowSkipException: the run goes on with another set
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
                    tell = partial(notify, config, dag_id=dag_run.dag_id, dag_run_id=dag_run.run_id)
                    if conclude(conn, ref, airflow, tell) is None:
                        airflow.tell_if_paused(
                            conn,
                            OpenRun(
                                run.run_id, run.job_id, run.job, dag_run.dag_id, [dag_run.run_id]
                            ),
                        )
                        message = "the run goes on with another set; it is notified at its end"
                        raise AirflowSkipException(message)
                    return
        except StateError as error:
            if not _is_last_try(context, error):
                raise
            what = "did not start" if _why_refused(context) else "could not be closed"
            self._tell(context, what, str(error))
            raise
        why = _why_refused(context)
        self._tell(context, "did not start", why)
        raise ConfigError(_NOT_OPENED, *filter(None, [why]))

    def _tell(self, context: Context, what: str, why: str) -> None:
        dag_run = context["dag_run"]
        asked = {**context["params"], **(dag_run.conf or {})}
        config, _ = params_for(self.source).salvage(asked)
        notify_briefly(config, what, why, dag_run.dag_id, dag_run.run_id)

    @staticmethod
    def _set_of(context: Context, conn: Connection) -> SetRef | None:
        """Return the set of this DAG run; None: it has opened none.

        An ``open_run`` that does not say why it opened nothing may have been told to end a moment
        ago, and still commit.
        """
        dag_run, give_up_at = context["dag_run"], time.monotonic() + _KILLED_WITHIN_S
        while (ref := runs.find_set(conn, dag_run.dag_id, dag_run.run_id)) is None:
            if _why_refused(context) or time.monotonic() > give_up_at:
                break
            time.sleep(1.0)
        return ref


def _why_refused(context: Context) -> str:
    """Return why ``open_run`` opened nothing; empty: it has not said."""
    return str(context["ti"].xcom_pull(task_ids="open_run", key=REFUSED) or "")


def _is_last_try(context: Context, error: StateError) -> bool:
    """Return whether a task that fails with this error is not tried again."""
    ti = context["ti"]
    return isinstance(error, FINAL) or ti.try_number > ti.max_tries
