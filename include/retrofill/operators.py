"""The operators: each builds its collaborators from connections and calls one use case."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from retrofill.airflow_runs import TaskAirflow, params_of
from retrofill.config import RunConfig
from retrofill.connections import open_state, state_dsn
from retrofill.engine.first_calls import fit
from retrofill.engine.progress import Invoked
from retrofill.functions.aws_lambda.client import LambdaClient
from retrofill.functions.aws_lambda.connect import control_plane, open_client
from retrofill.functions.aws_lambda.signing import Credentials
from retrofill.model.errors import FINAL, ConfigError, RetrofillError, StateError
from retrofill.model.items import Item
from retrofill.model.runs import Run, SetRef, Window
from retrofill.notifier import check_targets, notify, notify_failed
from retrofill.pipeline.close_run import close_run, conclude
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.enqueue import Enqueued, enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import PartitionTask, list_partitions
from retrofill.pipeline.open_run import DagRun, check, open_run, resume, window_of
from retrofill.pipeline.plan_batches import BatchTask, plan_batches
from retrofill.pipeline.preview import preview
from retrofill.pipeline.redrive import Requeued, redrive_quarantine
from retrofill.sources import Source, open_source
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease
from retrofill.triggers.live_filter import passes

_REFUSED = "refused"
"""The XCom key under which ``open_run`` leaves why it opened no run."""

_LONGEST_REASON = 2_000

_NOT_OPENED = "this DAG run has opened no run; see the log of open_run"

_KILLED_WITHIN_S = 12.0
"""Seconds within which Airflow has killed a task that it was told to end: it looks every 5."""

_PR_SET_PDEATHSIG = 1


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


def aws_client(config: RunConfig, service: str) -> Any:
    """Return a client of AWS's control plane, by way of the AWS connection."""
    hook: AwsGenericHook[Any] = AwsGenericHook(
        aws_conn_id=config.aws_conn_id,
        client_type=service,
        config=control_plane(AwsGenericHook(config.aws_conn_id).config),
    )
    return hook.get_conn()


def source_of(
    config: RunConfig, window: Window, passes: Callable[[Item], bool] | None = None
) -> Source:
    """Open the source that a run's configuration names; see :func:`open_source`."""
    return open_source(config, aws_client(config, "s3"), window, passes)


def client_of(config: RunConfig, run: Run) -> LambdaClient:
    """Open the data plane to a run's function, by way of the AWS connection."""
    own = AwsGenericHook(config.aws_conn_id).config
    hook = LambdaHook(aws_conn_id=config.aws_conn_id, config=control_plane(own))
    return open_client(
        hook.get_conn(),
        cast("Credentials | None", hook.get_session().get_credentials()),
        verify=hook.verify,
        function_arn=run.function_arn,
        qualifier=run.function_version,
        function_timeout_s=run.function_timeout_s,
    )


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


class OpenRunOperator(BaseOperator):
    """Check what was asked for, and open the run and its set.

    :param problems: why no run is opened, one sentence each; none: it may be
    """

    def __init__(self, *, problems: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.problems = problems

    def execute(self, context: Context) -> list[int]:
        """Return the set that was opened: number of the run, number of the set.

        :raises DownstreamTasksSkipped: a preview was asked for, and shown
        """
        try:
            return list(self._open(context))
        except RetrofillError as error:
            context["ti"].xcom_push(_REFUSED, str(error)[:_LONGEST_REASON])
            raise

    def _open(self, context: Context) -> SetRef:
        dag_run = context["dag_run"]
        with open_state() as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is not None:
                config, run = stored_run(conn, ref)
                resume(conn, ref, source_of(config, run.window), partial(aws_client, config))
                return ref
        if self.problems:
            raise ConfigError(*self.problems)
        config = RunConfig.from_params(params_of(context))
        check_targets(config)
        asked = DagRun(
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.run_id,
            interval_start=dag_run.data_interval_start,
            interval_end=dag_run.data_interval_end,
        )
        window = window_of(config, asked)
        source = source_of(config, window)
        client = partial(aws_client, config)
        with open_state() as conn:
            if not config.preview:
                return open_run(conn, config, asked, source, client)
            checked = check(config, source, client, run_id=runs.next_run_id(conn))
            known = runs.find_job(conn, checked.job.name)
            if known is not None:
                runs.require_same(known.job, checked.job)
            preview(
                conn,
                source_of(config, window, passes(checked.delivery, checked.shape)),
                checked.shape,
                items_per_call=checked.delivery.items_per_call,
                job_id=None if known is None else known.job_id,
            )
        rest = sorted(self.get_flat_relative_ids())
        raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]


class ListPartitionsOperator(RetrofillOperator):
    """List the partitions of the run's source that are not read to their end."""

    def execute(self, context: Context) -> list[PartitionTask]:
        """Return one entry for each enqueue task."""
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
            return list_partitions(conn, self.ref, config, source_of(config, run.window))


class EnqueueOperator(RetrofillOperator):
    """Retrieve the items of one partition, and enqueue those that are new.

    :param partition: which partition, as ``list_partitions`` returned it; not a template field,
        because it carries names of keys
    """

    def __init__(self, *, partition: PartitionTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = partition

    def execute(self, context: Context) -> Enqueued | Requeued:
        """Return the counts of what was listed, or redriven."""
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
            if config.redrive:
                return redrive_quarantine(conn, self.ref, self.partition["part_no"], config)
            shape = shape_of(config, run)
            source = source_of(config, run.window, passes(run.delivery, shape))
            return enqueue(conn, self.ref, self.partition["part_no"], source, fit(shape))


class PlanBatchesOperator(RetrofillOperator):
    """Cut what the in-process cache holds into batches."""

    def execute(self, context: Context) -> list[BatchTask]:
        """Return one entry for each invoke task."""
        with open_state() as conn:
            run_at_work(context, conn, self.ref)
            return plan_batches(conn, self.ref, TaskAirflow(context))


class InvokeOperator(RetrofillOperator):
    """Call the function with the items of one batch until every one is settled.

    :param batch: which batch, as ``plan_batches`` returned it
    """

    def __init__(self, *, batch: BatchTask, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch = batch
        self._stop_asked = False

    def execute(self, context: Context) -> Invoked | None:
        """Return the counts of what was done; None: there was nothing left to do."""
        _die_with_parent()
        with open_state() as conn:
            config, run = run_at_work(context, conn, self.ref)
        with closing(BatchLease(state_dsn(), self.batch["batch_id"], _holder())) as lease:
            if not take(lease, holder_is_dead=_holder_is_dead):
                self.log.info("every item of this batch is settled")
                return None
            self.log.info(
                "batch %d of run %d: calls of up to %d items to %s version %s",
                lease.batch_id,
                run.run_id,
                run.delivery.items_per_call,
                run.function_arn,
                run.function_version,
            )
            with closing(client_of(config, run)) as client:
                invoker = Invoker(
                    lease=lease,
                    client=client,
                    shape=shape_of(config, run),
                    run=run,
                    config=config,
                    stop_asked=lambda: self._stop_asked,
                )
                try:
                    return invoker.run()
                except ConfigError as error:
                    with open_state() as conn:
                        runs.stop(conn, run.run_id, str(error))
                    raise

    def on_kill(self) -> None:
        """Stop sending; what is in flight gets a moment to be settled."""
        self._stop_asked = True


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
    """

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
                    config, _ = stored_run(conn, ref)
                    tell = partial(notify, config, dag_id=dag_run.dag_id, dag_run_id=dag_run.run_id)
                    if conclude(conn, ref, TaskAirflow(context), tell) is None:
                        message = "the run goes on with another set; it is notified at its end"
                        raise AirflowSkipException(message)
                    return
        except StateError as error:
            if not _is_last_try(context, error):
                raise
            what = "did not start" if _why_refused(context) else "could not be closed"
            _tell(context, what, str(error))
            raise
        _tell(context, "did not start", _why_refused(context))
        raise ConfigError(_NOT_OPENED)

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
    return str(context["ti"].xcom_pull(task_ids="open_run", key=_REFUSED) or "")


def _tell(context: Context, what: str, why: str) -> None:
    dag_run = context["dag_run"]
    config, _ = RunConfig.salvage({**context["params"], **(dag_run.conf or {})})
    notify_failed(config, what, why, dag_run.dag_id, dag_run.run_id)


def _is_last_try(context: Context, error: StateError) -> bool:
    """Return whether a task that fails with this error is not tried again."""
    ti = context["ti"]
    return isinstance(error, FINAL) or ti.try_number > ti.max_tries


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its supervisor dies.

    Airflow would start another try beside it: it does not end a task whose supervisor was killed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _holder() -> str:
    """Name this process so that another one on this machine can tell whether it lives."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_at(os.getpid())}"


def _holder_is_dead(holder: str) -> bool:
    host, pid, started_at = holder.rsplit(":", 2)
    return host == socket.gethostname() and _started_at(int(pid)) != started_at


def _started_at(pid: int) -> str:
    """Return when a process of this machine began, in clock ticks; empty if it is gone.

    Format: field 22 of /proc/PID/stat, proc(5).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    zombie = fields[0] == "Z"
    return "" if zombie else fields[19]
