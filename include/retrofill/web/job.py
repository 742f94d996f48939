"""The page of a job: its runs, what they have done together, and what waits for what."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.standing import Standing, standing_of
from retrofill.state import jobs, waiting
from retrofill.state.jobs import JobTotals, RunLine
from retrofill.web.access import SeenJob, State
from retrofill.web.airflow_facts import NO_DAG, DagFacts, facts_of, living
from retrofill.web.answers import answer, shell_of
from retrofill.web.rendering import RARE_LOOK_S, render

router = APIRouter()

RUNS_SHOWN = 25

_PATH = "/jobs/{job_id}"


class ShownRun(NamedTuple):
    """A run as the page shows it."""

    line: RunLine
    standing: Standing
    dag: DagFacts


class Wait(NamedTuple):
    """Something of the job that waits, what for, and what to do."""

    what: str
    run: RunLine | None
    """The run that waits, or whose items do."""

    other_run: int | None = None
    """The run that it waits for."""

    is_bad: bool = False


@router.get(_PATH)
def show_job(
    request: Request,
    asker: SeenJob,
    conn: State,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """Show a job."""
    lines = jobs.list_runs(conn, asker.job.job_id, most=RUNS_SHOWN + 1, before=before)
    totals = jobs.get_totals(conn, asker.job.job_id)
    dags = facts_of(asker.dag_ids)
    alive = living(asker.dag_ids)
    shown = [_shown(line, dags.get(line.dag_id, NO_DAG), alive) for line in lines[:RUNS_SHOWN]]
    shell = shell_of(request)
    html = render(
        "job.html",
        shell,
        look_s=RARE_LOOK_S,
        job=asker.job.job,
        job_id=asker.job.job_id,
        shown=shown,
        newest=shown[0] if shown and before is None else None,
        before=lines[RUNS_SHOWN - 1].run_id if len(lines) > RUNS_SHOWN else None,
        is_first=before is None,
        totals=totals,
        in_quarantine=jobs.count_quarantined(conn, asker.job.job_id),
        waits=[
            *waits(shown, totals, is_first=before is None),
            *in_line(waiting.list_of_job(conn, asker.job.job_id), alive),
        ],
        dags={dag_id: dags.get(dag_id, NO_DAG) for dag_id in asker.dag_ids},
        most_counted=jobs.MOST_COUNTED,
        now=datetime.now(UTC),
    )
    return answer(html, shell)


def _shown(line: RunLine, dag: DagFacts, alive: frozenset[tuple[str, str]]) -> ShownRun:
    standing = standing_of(
        line.status,
        unapproved=line.approval == "waiting",
        stopping=line.stop_reason is not None,
        paused=line.paused,
        active=line.held or (line.dag_id, line.dag_run_id) in alive,
        dag_paused=dag.is_paused,
    )
    return ShownRun(line, standing, dag)


_WAITS: Mapping[Standing, str] = {
    Standing.UNAPPROVED: "waits for a person to approve its plan. Nothing is called until then.",
    Standing.WAITING: (
        "waits for its DAG, which is paused in Airflow. It goes on when the DAG is switched on."
    ),
    Standing.PAUSED: "is paused by a person. It goes on when somebody resumes it on its page.",
    Standing.ABANDONED: (
        "was abandoned: Airflow has ended its DAG run. The job's next run or the maintenance DAG"
        " closes it, and the next run takes its items over."
    ),
}
"""What an open run waits for."""


def waits(shown: Sequence[ShownRun], totals: JobTotals, *, is_first: bool) -> Iterator[Wait]:
    """Yield what of the job waits for what, as far as the runs that are shown tell.

    :param is_first: whether these are its newest runs
    """
    for run in shown:
        if run.standing in _WAITS:
            yield Wait(_WAITS[run.standing], run.line, is_bad=run.standing is Standing.ABANDONED)
        if run.line.status == "open":
            for other in run.line.others:
                waiting = f"waits for {other['items']:,} of its listed items, which are in process"
                yield Wait(f"{waiting} with", run.line, other["run_id"])
    newest = shown[0] if shown and is_first else None
    if newest is None:
        return
    if newest.standing is Standing.INCOMPLETE:
        why = f": {newest.line.stop_reason}" if newest.line.stop_reason else ""
        left = (
            f"{totals.in_process:,} items of the job wait for another run"
            if totals.in_process
            else "What it did not list waits for another run"
        )
        yield Wait(f"ended incomplete{why}. {left}: start one.", newest.line, is_bad=True)
    if newest.dag.is_off and newest.standing is not Standing.WAITING:
        what = f"The next run waits for the DAG {newest.line.dag_id}, which is paused in Airflow."
        yield Wait(what, None)


def in_line(waiters: Iterable[waiting.Waiter], alive: frozenset[tuple[str, str]]) -> Iterator[Wait]:
    """Yield the DAG runs that open no run until others of the job are closed."""
    for waiter in waiters:
        if (waiter.dag_id, waiter.dag_run_id) not in alive:
            continue
        what = f"The DAG run {waiter.dag_run_id} opens its run, as overlap asks, after"
        for run_id in waiter.runs:
            yield Wait(what, None, run_id)
        if not waiter.runs:
            yield Wait(f"{what} that of {', '.join(waiter.behind) or 'its next look'}.", None)
