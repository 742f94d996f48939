"""The page of all jobs, those that need attention first."""

from functools import partial
from typing import Annotated, NamedTuple

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.needs import needs_of
from retrofill.model.status import Status
from retrofill.state import jobs
from retrofill.state.jobs import Dags, JobLine
from retrofill.web.access import READ, State, hidden_dags
from retrofill.web.airflow_facts import (
    NO_DAG,
    DagFacts,
    active_dag_runs,
    facts_of,
    status_in_airflow,
)
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond
from retrofill.web.setup import dags_for

router = APIRouter()

JOBS_SHOWN = 25

FILTERS = {
    "": "all jobs",
    "needs": "jobs that need attention",
    "open": "with an open run",
    "quarantine": "with items in quarantine",
    "incomplete": "last run incomplete",
    "complete": "last run complete",
    "never": "never run",
}
"""The filters of the page, each with its text."""


class Shown(NamedTuple):
    """A job as the page shows it."""

    line: JobLine
    status: Status | None
    """None: it has no run."""

    needs: tuple[str, ...]
    dag: DagFacts


@router.get("/jobs", dependencies=[Depends(READ)])
def show_jobs(
    request: Request,
    user: GetUserDep,
    conn: State,
    *,
    search: Annotated[str, Query(alias="q")] = "",
    show: str = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    """Show the jobs that the user may see."""
    dag_ids = jobs.list_dags(conn)
    dags, active = facts_of(dag_ids), active_dag_runs(dag_ids)
    known = Dags(
        alive=active,
        paused=[dag_id for dag_id, dag in dags.items() if dag.is_paused],
        off=[dag_id for dag_id, dag in dags.items() if dag.is_off],
    )
    read = partial(
        jobs.list_jobs,
        conn,
        search=search.strip(),
        hidden_dags=hidden_dags(user, dag_ids),
        show=show,
        dags=known,
        most=JOBS_SHOWN,
    )
    found = read(offset=(page - 1) * JOBS_SHOWN)
    pages = max(1, -(-found.of // JOBS_SHOWN))
    if page > pages:
        page = pages
        found = read(offset=(page - 1) * JOBS_SHOWN)
    return respond(
        request,
        "jobs.html",
        refresh_s=RARE_REFRESH_S,
        shown=[shown(line, dags.get(line.dag_id or "", NO_DAG), active) for line in found.lines],
        counts=jobs.count_jobs(conn, found.lines),
        filters=FILTERS,
        most_counted=jobs.MOST_COUNTED,
        now=found.lines[0].read_at if found.lines else None,
        dags=[] if found.in_all else dags_for(user),
        found=found,
        search=search,
        show=show,
        page=page,
        pages=pages,
    )


def shown(line: JobLine, dag: DagFacts, active: frozenset[tuple[str, str]]) -> Shown:
    """Return a job as the page shows it.

    :param dag: of the run that represents the job
    :param active: the queued and running DAG runs, as pairs of their ids
    """
    status = status_in_airflow(line.status, line, dag, active) if line.status else None
    needs = needs_of(status, quarantines=line.quarantines, is_off=dag.is_off)
    return Shown(line, status, needs, dag)
