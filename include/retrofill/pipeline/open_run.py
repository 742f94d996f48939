"""Open a run: check everything a person may have got wrong, then write the run down."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.config import RunConfig
from retrofill.engine.identity import fingerprint
from retrofill.events import CompiledShape
from retrofill.functions.aws_lambda.preflight import concurrency_ceiling, preflight
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError
from retrofill.model.function import FunctionVersion
from retrofill.model.limits import Limits
from retrofill.model.runs import Job, NewRun, SetRef, Window
from retrofill.pipeline.deliver import compile_delivery, find_delivery
from retrofill.sources import Source
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.triggers.live_filter import passes

log = logging.getLogger(__name__)

WITH_VERSIONS = " with versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """The DAG run that asks, as far as a run needs to know it."""

    dag_id: str
    dag_run_id: str
    interval_start: datetime | None
    interval_end: datetime | None


class Checked(NamedTuple):
    """What was found when everything that a run needs was looked at."""

    job: Job
    function: FunctionVersion
    delivery: Delivery
    shape: CompiledShape
    """The event shape, as the run of that number has it."""

    source_seen: bool
    """Whether the source has an object, filters aside."""


def check(
    config: RunConfig,
    source: Source,
    client: Callable[[str], Any],
    *,
    run_id: int,
    delivery: Delivery | None = None,
) -> Checked:
    """Look at source, function and live trigger; nothing is written.

    :param client: returns a boto3 client by its service's name
    :param run_id: the number that the run has or will have
    :param delivery: that of the run, if it is open; None: it is to be found
    :raises ConfigError: one of them cannot be used as asked
    :raises SourceError: AWS gave no answer; another try may get one
    """
    source_seen = source.check()
    version = preflight(client("lambda"), config.function_name, config.function_qualifier)
    if delivery is None:
        delivery = find_delivery(config, client, version)
    shape = compile_delivery(config, delivery, version.arn, job=config.job_name, run_id=run_id)
    passes(delivery, shape)
    origin = f"{source.name}/{config.prefix}"
    if config.list_versions:
        # The version is part of an item's identifier: with it every item is another one.
        origin += WITH_VERSIONS
    marks = fingerprint(source=origin, function=version.arn, event=delivery.event)
    job = Job(config.job_name, marks, origin, version.arn, delivery.event)
    return Checked(job, version, delivery, shape, source_seen)


def open_run(
    conn: Connection,
    config: RunConfig,
    dag_run: DagRun,
    source: Source,
    client: Callable[[str], Any],
) -> SetRef:
    """Open a run and its first set.

    :param client: returns a boto3 client by its service's name
    :raises ConfigError: source, function, live trigger or job's name cannot be used as asked
    """
    checked = check(config, source, client, run_id=0)
    job, version, delivery = checked[:3]
    job_id = _job_to_redrive(conn, config, job) if config.redrive else runs.remember_job(conn, job)
    window = window_of(config, dag_run)
    ceiling = None
    if config.reserve_percent is not None:
        ceiling = concurrency_ceiling(client("lambda"), version.arn, config.reserve_percent)
    ref = runs.open_run(
        conn,
        NewRun(
            job_id=job_id,
            config=config.model_dump(mode="json"),
            delivery=delivery,
            modified_after=window.after,
            modified_before=window.before,
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.dag_run_id,
            limits=Limits(
                max_concurrency=config.max_concurrency,
                max_items_per_set=config.max_items_per_set,
                max_calls_per_second=config.max_calls_per_second,
                max_calls=config.max_calls,
                max_minutes=config.max_minutes,
                max_failure_percent=config.max_failure_percent,
                min_items_judged=config.min_items_judged,
                concurrency_ceiling=ceiling,
            ),
            source_seen=checked.source_seen,
        ),
        version,
    )
    log.info(
        "opened run %d of job %s: %s → %s version %s (timeout %d s, %d MB, code %s)",
        ref.run_id,
        job.name,
        job.source,
        version.arn,
        version.version,
        version.timeout_s,
        version.memory_mb,
        version.code_sha256,
    )
    return ref


def resume(conn: Connection, ref: SetRef, source: Source, client: Callable[[str], Any]) -> None:
    """Check again what a run needs, before the DAG run of an open set goes on with it.

    A set is open already in a later try of ``open_run``, and in each further DAG run of a run:
    ``close_run`` opens the next set. All that the run does was fixed when it was opened.

    :raises ConfigError: source or function cannot be used any more
    """
    run = runs.get_run(conn, ref.run_id)
    config = RunConfig.from_stored(run.config)
    check(config, source, client, run_id=ref.run_id, delivery=run.delivery)
    log.info("run %d of job %s goes on with set %d", ref.run_id, run.job, ref.set_no)


def _job_to_redrive(conn: Connection, config: RunConfig, asked: Job) -> int:
    """Return the number of the job whose quarantine is to be redriven.

    :raises ConfigError: there is no such job, or it is one of another source, function or event
    """
    found = runs.find_job(conn, asked.name)
    if found is None:
        raise ConfigError(
            f"redrive: there is no job {asked.name!r}, so nothing of it is in quarantine; give"
            " bucket, prefix and function as the job has them, or its name in job"
        )
    # Within the job's prefix a longer one selects; how the job lists is nothing to redrive.
    job_id, job = found
    wanted, source = (name.removesuffix(WITH_VERSIONS) for name in (asked.source, job.source))
    if not (wanted.startswith(source) or (source.startswith(wanted) and not config.prefix)):
        raise ConfigError(
            f"prefix: {config.prefix!r} of bucket {config.bucket!r} is not within the source of job"
            f" {job.name!r}, {source}"
        )
    if (job.function_name, job.event) != (asked.function_name, asked.event):
        raise ConfigError(
            f"redrive: job {job.name!r} calls {job.function_name} ({job.event}), and is now asked"
            f" for {asked.function_name} ({asked.event})"
        )
    return job_id


def window_of(config: RunConfig, dag_run: DagRun) -> Window:
    """Return when an item must have been modified to belong to the run.

    :raises ConfigError: the DAG run's data interval is asked for, and it has none
    """
    after, before = config.modified_after, config.modified_before
    if config.use_data_interval:
        start, end = dag_run.interval_start, dag_run.interval_end
        if start is None or end is None or start == end:
            raise ConfigError(
                "use_data_interval: this DAG run has no data interval; trigger it with a logical"
                " date on a schedule with intervals, or use modified_after and modified_before"
            )
        after = max(filter(None, (after, start)))
        before = min(filter(None, (before, end)))
    return Window(after=after, before=before)
