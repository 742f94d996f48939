"""Open a run: check everything a person may have got wrong, then write the run down."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from include.retrofill.calling.function import preflight
from include.retrofill.model.config import RunConfig
from include.retrofill.model.errors import ConfigError
from include.retrofill.model.runs import NewRun, SetRef, Window
from include.retrofill.rules.identity import fingerprint
from include.retrofill.sources import Source
from include.retrofill.state import runs
from include.retrofill.state.connection import Connection

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient as FunctionApi

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """The DAG run that asks, as far as a run needs to know it."""

    dag_id: str
    dag_run_id: str
    interval_start: datetime | None
    interval_end: datetime | None
    continue_run: int | None
    """The run of which this DAG run takes the next set; None: a run of its own."""


def open_run(
    conn: Connection, config: RunConfig, dag_run: DagRun, source: Source, function: "FunctionApi"
) -> SetRef:
    """Open a run and its first set, or the next set of a run; the same again in a later try.

    :raises ConfigError: the source, the function or the job's name cannot be used as asked
    """
    opened = runs.find_set(conn, dag_run.dag_id, dag_run.dag_run_id)
    if opened is not None:
        log.info("run %d, set %d had been opened by an earlier try", *opened)
        return opened
    source.check()
    version = preflight(function, config.function_name, config.function_qualifier)
    origin = f"{source.name}/{config.prefix}"
    if config.list_versions:
        # The version is part of an item's identifier: with it every item is another one.
        origin += " with versions"
    job_id = runs.remember_job(
        conn,
        name=config.job_name,
        fingerprint=fingerprint(source=origin, function=version.arn, event=config.event),
        source=origin,
        function=version.arn,
        event=config.event,
    )
    if dag_run.continue_run is not None:
        ref = runs.open_next_set(
            conn,
            dag_run.continue_run,
            job_id=job_id,
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.dag_run_id,
            max_items=config.max_items_per_set,
        )
        log.info("continue run %d of job %s with set %d", ref.run_id, config.job_name, ref.set_no)
        return ref
    window = window_of(config, dag_run)
    ref = runs.open_run(
        conn,
        NewRun(
            job_id=job_id,
            config=config.model_dump(mode="json"),
            modified_after=window.after,
            modified_before=window.before,
            max_concurrency=config.max_concurrency,
            max_calls_per_second=config.max_calls_per_second,
            max_items_per_set=config.max_items_per_set,
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.dag_run_id,
        ),
        version,
    )
    log.info(
        "opened run %d of job %s: %s → %s version %s (timeout %d s, %d MB, code %s)",
        ref.run_id,
        config.job_name,
        origin,
        version.arn,
        version.version,
        version.timeout_s,
        version.memory_mb,
        version.code_sha256,
    )
    return ref


def window_of(config: RunConfig, dag_run: DagRun) -> Window:
    """Return when an item must have been modified to belong to the run.

    :raises ConfigError: the DAG run's data interval is asked for, and it has none
    """
    after, before = config.modified_after, config.modified_before
    # The next set of a run keeps the run's window.
    if config.use_data_interval and dag_run.continue_run is None:
        start, end = dag_run.interval_start, dag_run.interval_end
        if start is None or end is None or start == end:
            raise ConfigError(
                "use_data_interval: this DAG run has no data interval; trigger it with a logical"
                " date on a schedule with intervals, or use modified_after and modified_before"
            )
        after = max(filter(None, (after, start)))
        before = min(filter(None, (before, end)))
    return Window(after=after, before=before)
