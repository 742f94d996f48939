"""Open a run: store what was planned, or show it."""

import logging
from collections.abc import Collection

from retrofill.model.errors import ConfigError
from retrofill.model.runs import DagRun, NewRun, SetRef, Window
from retrofill.model.selection import Place
from retrofill.pipeline.ask_redrive import new_redrive
from retrofill.pipeline.plan import Plan
from retrofill.pipeline.preview import preview
from retrofill.state import runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


class NotAlone(Exception):
    """Another run of the job is open, and this one must wait for it."""


def open_run(
    conn: Connection,
    plan: Plan,
    dag_run: DagRun,
    *,
    asked_by: str = "",
    alone_but: Collection[int] | None = None,
) -> SetRef | None:
    """Open a planned run and its first set; for a preview, show the plan and return None.

    :param asked_by: the user who triggered it; empty: unknown
    :param alone_but: the open runs of the job to ignore; None: ignore all
    :raises NotAlone: another run of the job is open
    :raises ConfigError: the interval is not over; the job's name belongs to a job with another
        source, function or event; or there is nothing to redrive
    :raises SourceError: the source could not be read for a preview
    """
    for line in plan.lines():
        log.info("%s", line)
    config = plan.config
    if config.calls.preview:
        preview(conn, plan)
        return None
    _require_over(conn, plan.window)
    redrive = None
    if config.redrive.place is None:
        job_id = runs.remember_job(conn, plan.job)
    else:
        job_id = _job_to_redrive(conn, plan)
        redrive = new_redrive(conn, job_id, config, asked_by)
        log.info("redrive: %s", redrive.text)
    new = NewRun(
        job_id=job_id,
        source=config.source.label(),
        config=config.as_json(),
        delivery=plan.delivery,
        modified_after=plan.window.after,
        modified_before=plan.window.before,
        dag_id=dag_run.dag_id,
        dag_run_id=dag_run.dag_run_id,
        limits=plan.limits,
        source_seen=plan.source_seen,
        interval_start=plan.window.start,
        price=plan.price,
    )
    if alone_but is None:
        ref: SetRef | None = runs.open_run(conn, new, plan.function, redrive)
    else:
        ref = runs.open_alone(conn, new, plan.function, alone_but, redrive)
    if ref is None:
        raise NotAlone
    log.info("opened run %d of job %s", ref.run_id, plan.job.name)
    return ref


def _require_over(conn: Connection, window: Window) -> None:
    """Check that the interval of a run is over: until then, it may get more items."""
    if window.start and window.before and runs.is_to_come(conn, window.before):
        raise ConfigError(
            f"use_data_interval: the interval of this DAG run ends at {window.before.isoformat()},"
            " which is in the future; trigger an interval that is over"
        )


def _job_to_redrive(conn: Connection, plan: Plan) -> int:
    asked = plan.job
    found = runs.find_job(conn, asked.name)
    if found is None:
        raise ConfigError(
            f"redrive: there is no job {asked.name!r}, so nothing can be redriven; give the job's"
            " own source and function, or its name in job"
        )
    job_id, job = found
    if plan.config.redrive.place is not Place.QUARANTINE:
        # The run lists the source, which must have the same items.
        runs.require_same(job, asked)
        return job_id
    if not plan.config.source.redrives(job.source):
        raise ConfigError(
            f"redrive: job {job.name!r} has the source {job.source}, not {asked.source}; give"
            " the job's own source"
        )
    if (job.function_name, job.event) != (asked.function_name, asked.event):
        raise ConfigError(
            f"redrive: job {job.name!r} calls {job.function_name} ({job.event}), not"
            f" {asked.function_name} ({asked.event}); give the job's own function and event"
        )
    return job_id
