"""The DAGs: their tasks, the order of the tasks, and their retries."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from airflow.configuration import conf
from airflow.sdk import DAG, Asset, AssetAlias, Param

from retrofill.approval import ApproveOperator
from retrofill.compat import (
    BACKOFF,
    BaseOperator,
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
    MigrateOperator,
    RescueOperator,
)
from retrofill.model.errors import FINAL
from retrofill.notifying import NotifyOperator
from retrofill.opening import OpenRunOperator
from retrofill.operators import (
    CanaryOperator,
    CloseRunOperator,
    EnqueueOperator,
    InvokeOperator,
    ListPartitionsOperator,
    NextSetOperator,
    PlanBatchesOperator,
    WriteReportOperator,
)
from retrofill.params.base import Params
from retrofill.params.maintenance import ForgetParams, MaintenanceParams
from retrofill.params.migration import MigrationParams
from retrofill.pipeline.setup import FORGETTING, MAINTENANCE, MIGRATION
from retrofill.sources import SOURCES
from retrofill.tries import RETRIES, RETRIES_IN_ALL, WhileProgress

_SHOWN = ("default", "title", "description_md", "section", "examples")
"""The arguments of a ``Param`` that the form shows, without those that restrict its value."""

_FINAL = [
    RetryRule(f"{error.__module__}.{error.__qualname__}", RetryAction.FAIL) for error in FINAL
]
_RETRIED: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": BACKOFF,
    "max_retry_delay": timedelta(minutes=1),
    "retry_policy": ExceptionRetryPolicy(_FINAL),
}
_RETRIED_WHILE_PROGRESS: dict[str, Any] = {
    "retries": RETRIES_IN_ALL,
    "retry_policy": WhileProgress(_FINAL),
}


def _form(fields: dict[str, dict[str, Any]], *, validated: bool = True) -> dict[str, Param]:
    # With conf ignored, Airflow would validate the defaults instead, before it runs a task.
    if not validated or not conf.getboolean("core", "dag_run_conf_overrides_params"):
        fields = {
            name: {word: field[word] for word in _SHOWN if word in field}
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

    ::

        dag = retrofill_dag("orders", source="rows", schedule=None, max_active_runs=2)

    :param source: the name of the source's kind, whose params the form shows
    :param defaults: values that replace the params' own defaults
    :param problems: why the DAG opens no run; its open runs continue
    :param kwargs: other arguments of :class:`airflow.sdk.DAG`: start_date, doc_md…
    """
    about = [kwargs.pop("doc_md", None) or "", *shortcomings()]
    with DAG(
        dag_id,
        schedule=schedule,
        doc_md="\n\n".join(filter(None, about)) or None,
        default_args=_RETRIED,
        catchup=kwargs.pop("catchup", False),
        tags=["retrofill", *kwargs.pop("tags", [])],
        **kwargs,
    ) as dag:
        opened = OpenRunOperator(task_id="open_run", source=source, problems=list(problems))
        of_set: dict[str, Any] = {"opened": opened.output}
        # Also run if tasks before it were skipped: there is nothing left to list, or no canary.
        after_skipped: dict[str, Any] = {**of_set, "trigger_rule": "none_failed"}
        partitions = ListPartitionsOperator(task_id="list_partitions", **of_set)
        enqueue = EnqueueOperator.partial(
            task_id="enqueue",
            map_index_template="{{ task.partition['label'] }}",
            **of_set,
            **_RETRIED_WHILE_PROGRESS,
        ).expand(partition=partitions.output)
        batches = PlanBatchesOperator(task_id="plan_batches", **after_skipped)
        canary = CanaryOperator(task_id="canary", **after_skipped, **_RETRIED_WHILE_PROGRESS)
        approve = ApproveOperator(task_id="approve", **after_skipped)
        invoke = InvokeOperator.partial(
            task_id="invoke",
            map_index_template="{{ task.batch['label'] }}",
            **after_skipped,
            **_RETRIED_WHILE_PROGRESS,
        ).expand(batch=batches.output)
        close = CloseRunOperator(task_id="close_run", trigger_rule="all_done")
        following = NextSetOperator(task_id="next_set", more=close.output, **of_set)
        files = WriteReportOperator(task_id="write_report", trigger_rule="all_done")
        notify = NotifyOperator(task_id="notify", source=source, alias=AssetAlias(dag_id))
        enqueue >> batches >> canary >> approve >> invoke
        # Tasks that open_run skips end at once, so later tasks must also wait for those before.
        batches >> approve
        canary >> invoke
        # A teardown always runs, and it alone determines the state of the DAG run.
        invoke >> close >> [following, files] >> notify.as_teardown(on_failure_fail_dagrun=True)
    # Last, because Airflow copies a DAG's params into each task that is made in it, and Airflow 3.1
    # would also show them where a plan is approved.
    fields = params_for(source).form_fields(defaults or {})
    dag.params = _form(fields, validated=not problems)  # type: ignore[assignment]
    return dag


class StateDag(NamedTuple):
    """A DAG of independent tasks that keep the state."""

    tag: str
    params: type[Params]
    tasks: Mapping[str, type[BaseOperator]]
    doc_md: str
    schedule: str | None = None
    settings: Mapping[str, Any] = {}

    def make(self, dag_id: str) -> DAG:
        """Return the DAG under this id."""
        with DAG(
            dag_id,
            schedule=self.schedule,
            params=_form(self.params.form_fields()),
            default_args=_RETRIED,
            tags=["retrofill", self.tag],
            doc_md=self.doc_md,
            **self.settings,
        ) as dag:
            for task_id, operator in self.tasks.items():
                operator(task_id=task_id)
        return dag


STATE_DAGS = {
    "retrofill_maintenance": StateDag(
        MAINTENANCE,
        MaintenanceParams,
        {
            "rescue": RescueOperator,
            "forget_calls": ForgetCallsOperator,
            "forget_results": ForgetResultsOperator,
        },
        "Close abandoned runs. Delete calls and, if requested, results after their retention time."
        " **An object whose result is deleted is new again**: the next run that lists it calls the"
        " function with it once more.",
        schedule="@daily",
        settings={
            "start_date": datetime(2026, 1, 1, tzinfo=UTC),
            "catchup": False,
            "max_active_runs": 1,
        },
    ),
    "retrofill_forget": StateDag(
        FORGETTING,
        ForgetParams,
        {"forget_job": ForgetJobOperator},
        "Forget a job: delete its runs, calls, results and quarantine permanently. All its objects"
        " are new again. Refused while a run of the job is open. If it is interrupted, trigger it"
        " again.",
    ),
    "retrofill_migrate": StateDag(
        MIGRATION,
        MigrationParams,
        {"migrate": MigrateOperator},
        "Migrate the schema of Retrofill's state to the version of this code: once at the start,"
        " and with each upgrade. The log shows the GRANT statements that other roles need. You can"
        " trigger it again at any time; it skips migrations that are already applied.",
    ),
}


def job_dag(job: JobFile) -> DAG:
    """Return the DAG of a job file.

    The DAG of a job file with mistakes has the same tasks, so that open runs continue. It opens no
    new run and shows the mistakes.
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
