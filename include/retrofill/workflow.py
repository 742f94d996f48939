"""The workflow: the tasks of the DAG, their order, and what is tried again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.configuration import conf
from airflow.sdk import DAG, Asset, Param

from retrofill.announcing import alias_of
from retrofill.approval import ApproveOperator
from retrofill.canary import CanaryOperator
from retrofill.compat import (
    BACKOFF,
    CronDataIntervalTimetable,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    shortcomings,
)
from retrofill.config import params_for
from retrofill.jobs import JobFile
from retrofill.maintaining import (
    ForgetCallsOperator,
    ForgetJobOperator,
    ForgetResultsOperator,
    RescueOperator,
)
from retrofill.migrating import MigrateOperator
from retrofill.model.errors import FINAL
from retrofill.notifying import NotifyOperator
from retrofill.opening import OpenRunOperator
from retrofill.operators import (
    CloseRunOperator,
    EnqueueOperator,
    InvokeOperator,
    ListPartitionsOperator,
    NextSetOperator,
    PlanBatchesOperator,
)
from retrofill.params.maintenance import ForgetParams, MaintenanceParams
from retrofill.params.migration import MigrationParams
from retrofill.pipeline.setup import FORGETTING, MAINTENANCE, MIGRATION
from retrofill.reporting import WriteReportOperator
from retrofill.sources import SOURCES
from retrofill.tries import RETRIES, RETRIES_IN_ALL, WhileProgress

_WORDS = ("title", "description_md", "section", "examples")
"""What the form says of a field."""

_FINAL = [
    RetryRule(f"{error.__module__}.{error.__qualname__}", RetryAction.FAIL) for error in FINAL
]
_TRIED_AGAIN: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": BACKOFF,
    "max_retry_delay": timedelta(minutes=1),
    "retry_policy": ExceptionRetryPolicy(_FINAL),
}
_WHILE_PROGRESS: dict[str, Any] = {
    "retries": RETRIES_IN_ALL,
    "retry_policy": WhileProgress(_FINAL),
}


def _form(fields: dict[str, dict[str, Any]], *, judged: bool = True) -> dict[str, Param]:
    # Set so, Airflow judges the defaults instead of what was asked for, before it runs a task.
    if not judged or not conf.getboolean("core", "dag_run_conf_overrides_params"):
        fields = {
            name: {word: field[word] for word in ("default", *_WORDS) if word in field}
            for name, field in fields.items()
        }
    return {name: Param(field.pop("default"), **field) for name, field in fields.items()}


def retrofill_dag(
    dag_id: str,
    *,
    source: str,
    schedule: Any,
    defaults: dict[str, Any] | None = None,
    problems: Sequence[str] = (),
    **kwargs: Any,
) -> DAG:
    """Return the DAG of a backfill.

    :param source: the name of the source's kind, whose params the form shows
    :param defaults: values of params that replace the fields' own defaults
    :param problems: why it opens no run; those that are open go on
    :param kwargs: what else :class:`airflow.sdk.DAG` takes: start_date, doc_md…
    """
    told = [kwargs.pop("doc_md", None) or "", *shortcomings()]
    with DAG(
        dag_id,
        schedule=schedule,
        doc_md="\n\n".join(filter(None, told)) or None,
        params=_form(params_for(source).form_fields(defaults or {}), judged=not problems),
        default_args=_TRIED_AGAIN,
        catchup=kwargs.pop("catchup", False),
        tags=["retrofill", *kwargs.pop("tags", [])],
        **kwargs,
    ) as dag:
        opened = OpenRunOperator(task_id="open_run", source=source, problems=list(problems))
        partitions = ListPartitionsOperator(task_id="list_partitions", opened=opened.output)
        enqueue = EnqueueOperator.partial(
            task_id="enqueue",
            opened=opened.output,
            map_index_template="{{ task.partition['label'] }}",
            **_WHILE_PROGRESS,
        ).expand(partition=partitions.output)
        batches = PlanBatchesOperator(
            # Where every partition had been read before, no enqueue task is left to be run.
            task_id="plan_batches",
            opened=opened.output,
            trigger_rule="none_failed",
        )
        canary = CanaryOperator(
            task_id="canary",
            opened=opened.output,
            trigger_rule="none_failed",
            **_WHILE_PROGRESS,
        )
        approve = ApproveOperator(
            task_id="approve", opened=opened.output, trigger_rule="none_failed"
        )
        invoke = InvokeOperator.partial(
            # Where there is no canary, or nobody is asked to approve anything, that is skipped.
            task_id="invoke",
            opened=opened.output,
            trigger_rule="none_failed",
            map_index_template="{{ task.batch['label'] }}",
            **_WHILE_PROGRESS,
        ).expand(batch=batches.output)
        close = CloseRunOperator(task_id="close_run", trigger_rule="all_done")
        following = NextSetOperator(task_id="next_set", opened=opened.output, more=close.output)
        files = WriteReportOperator(task_id="write_report", trigger_rule="all_done")
        notify = NotifyOperator(task_id="notify", source=source, alias=alias_of(dag_id))
        enqueue >> batches >> canary >> approve >> invoke
        # What open_run has skipped is over at once: what is behind it must wait for all before it.
        batches >> approve
        canary >> invoke
        # A teardown runs whatever became of the rest, and this one alone makes the DAG run's state.
        invoke >> close >> [following, files] >> notify.as_teardown(on_failure_fail_dagrun=True)
    return dag


def maintenance_dag(dag_id: str, *, schedule: Any, **kwargs: Any) -> DAG:
    """Return the maintenance DAG.

    :param kwargs: what else :class:`airflow.sdk.DAG` takes: start_date, doc_md…
    """
    with DAG(
        dag_id,
        schedule=schedule,
        params=_form(MaintenanceParams.form_fields()),
        default_args=_TRIED_AGAIN,
        catchup=False,
        max_active_runs=1,
        tags=["retrofill", MAINTENANCE],
        **kwargs,
    ) as dag:
        RescueOperator(task_id="rescue")
        ForgetCallsOperator(task_id="forget_calls")
        ForgetResultsOperator(task_id="forget_results")
    return dag


def forget_dag(dag_id: str, **kwargs: Any) -> DAG:
    """Return the DAG that forgets a job.

    :param kwargs: what else :class:`airflow.sdk.DAG` takes: doc_md…
    """
    with DAG(
        dag_id,
        schedule=None,
        params=_form(ForgetParams.form_fields()),
        default_args=_TRIED_AGAIN,
        tags=["retrofill", FORGETTING],
        **kwargs,
    ) as dag:
        ForgetJobOperator(task_id="forget_job")
    return dag


def migrate_dag(dag_id: str, **kwargs: Any) -> DAG:
    """Return the DAG that migrates the state.

    :param kwargs: what else :class:`airflow.sdk.DAG` takes: doc_md…
    """
    with DAG(
        dag_id,
        schedule=None,
        params=_form(MigrationParams.form_fields()),
        default_args=_TRIED_AGAIN,
        tags=["retrofill", MIGRATION],
        **kwargs,
    ) as dag:
        MigrateOperator(task_id="migrate")
    return dag


def job_dag(job: JobFile) -> DAG:
    """Return the DAG of a job file.

    One that is wrong becomes a DAG of the same tasks that opens no run and says what is wrong: a
    run that is at work goes on.
    """
    fields = job.fields
    if job.problems or fields is None:
        return retrofill_dag(
            job.name,
            source=fields.source if fields else next(iter(SOURCES)),
            schedule=None,
            problems=job.problems,
            defaults=fields.params if fields else {},
            doc_md="\n".join(job.problems),
            tags=["broken"],
        )
    schedule: Any = None
    if fields.times:
        schedule = CronDataIntervalTimetable(fields.times, timezone="UTC")
    elif fields.assets:
        # By reference: one of our own of the same URI would take the place of another's.
        schedule = [Asset.ref(uri=uri) for uri in fields.assets]
    return retrofill_dag(
        job.name,
        source=fields.source,
        schedule=schedule,
        start_date=fields.start,
        catchup=fields.catchup,
        defaults=fields.params,
        doc_md=f"The recurring backfill of the job file {job.name}.yaml.",
    )
