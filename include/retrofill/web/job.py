"""The page of a job: its runs, their totals, and what is waiting for what."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.status import Status
from retrofill.state import jobs, waiting
from retrofill.state.jobs import JobTotals, RunLine
from retrofill.web.access import State, VisibleJob
from retrofill.web.airflow_facts import (
    NO_DAG,
    DagFacts,
    active_dag_runs,
    facts_of,
    status_in_airflow,
)
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond

router = APIRouter()

RUNS_SHOWN = 25


class ShownRun(NamedTuple):
    """A run as the page shows it."""

    line: RunLine
    status: Status
    dag: DagFacts


class Wait(NamedTuple):
    """Something of the job that waits, for what, and what to do."""

    what: str
    run: RunLine | None
    """The run that waits, or whose items do."""

    other_run: int | None = None
    """The run that it waits for."""

    is_bad: bool = False


@router.get("/jobs/{job_id}")
def show_job(
    request: Request,
    access: VisibleJob,
    conn: State,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """Show a job."""
    job_id, is_first = access.job.job_id, before is None
    lines = jobs.list_runs(conn, job_id, most=RUNS_SHOWN + 1, before=before)
    totals = jobs.get_totals(conn, job_id)
    known, active = facts_of(access.dag_ids), active_dag_runs(access.dag_ids)
    dags = {dag_id: known.get(dag_id, NO_DAG) for dag_id in access.dag_ids}
    shown = [
        ShownRun(line, status_in_airflow(line.status, line, dag, active), dag)
        for line in lines[:RUNS_SHOWN]
        for dag in [dags.get(line.dag_id, NO_DAG)]
    ]
    return respond(
        request,
        "job.html",
        refresh_s=RARE_REFRESH_S,
        job=access.job.job,
        job_id=job_id,
        shown=shown,
        newest=shown[0] if shown and is_first else None,
        before=lines[RUNS_SHOWN - 1].run_id if len(lines) > RUNS_SHOWN else None,
        is_first=is_first,
        totals=totals,
        in_quarantine=jobs.count_quarantined(conn, job_id),
        waits=[
            *waits(shown, totals, is_first=is_first),
            *in_line(waiting.list_of_job(conn, job_id), active),
        ],
        dags=dags,
        most_counted=jobs.MOST_COUNTED,
    )


_WAITS: Mapping[Status, str] = {
    Status.UNAPPROVED: "waits for approval of its plan. Nothing is called until then.",
    Status.WAITING: (
        "waits for its DAG, which is paused in Airflow. It continues when you unpause the DAG."
    ),
    Status.PAUSED: "is paused. It continues when you resume it on its page.",
    Status.ABANDONED: (
        "was abandoned: Airflow ended its DAG run. The job's next run or the maintenance DAG"
        " closes it, and the next run takes its items over."
    ),
}
"""What an open run waits for."""


def waits(shown: Sequence[ShownRun], totals: JobTotals, *, is_first: bool) -> Iterator[Wait]:
    """Yield what is waiting in the job, as far as the shown runs can tell.

    :param is_first: whether these are its newest runs
    """
    for run in shown:
        if run.status in _WAITS:
            yield Wait(_WAITS[run.status], run.line, is_bad=run.status is Status.ABANDONED)
        if run.line.status == "open":
            for other in run.line.others:
                waiting = f"waits for {other['items']:,} of its listed items, which are in process"
                yield Wait(f"{waiting} with", run.line, other["run_id"])
    newest = shown[0] if shown and is_first else None
    if newest is None:
        return
    if newest.status is Status.INCOMPLETE:
        why = f": {newest.line.stop_reason}" if newest.line.stop_reason else ""
        left = (
            f"{totals.in_process:,} items of the job wait for another run"
            if totals.in_process
            else "Items that it did not list wait for another run"
        )
        yield Wait(f"ended incomplete{why}. {left}: start one.", newest.line, is_bad=True)
    if newest.dag.is_off and newest.status is not Status.WAITING:
        what = f"The next run waits for the DAG {newest.line.dag_id}, which is paused in Airflow."
        yield Wait(what, None)


def in_line(
    waiters: Iterable[waiting.Waiter], active: frozenset[tuple[str, str]]
) -> Iterator[Wait]:
    """Yield the active DAG runs that open no run until others of the job are closed."""
    for waiter in waiters:
        if (waiter.dag_id, waiter.dag_run_id) not in active:
            continue
        what = f"Because of overlap: wait, the DAG run {waiter.dag_run_id} opens its run only after"
        for run_id in waiter.runs:
            yield Wait(what, None, run_id)
        if not waiter.runs:
            behind = ", ".join(waiter.behind)
            yield Wait(f"{what} that of {behind}." if behind else f"{what} its next check.", None)
