"""The page of all jobs: those first that need a person."""

from functools import partial
from typing import Annotated, NamedTuple

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.needs import needs_of
from retrofill.model.standing import Standing, standing_of
from retrofill.state import jobs
from retrofill.state.connection import Connection
from retrofill.state.jobs import Dags, JobLine
from retrofill.web.access import READ, State, unseen
from retrofill.web.airflow_facts import NO_DAG, DagFacts, facts_of, living
from retrofill.web.answers import answer, shell_of
from retrofill.web.rendering import RARE_LOOK_S, render
from retrofill.web.setup import dags_for

router = APIRouter()

JOBS_SHOWN = 25

FILTERS = {
    "": "all jobs",
    "needs": "what needs a person",
    "open": "with an open run",
    "quarantine": "with items in quarantine",
    "incomplete": "last run incomplete",
    "complete": "last run complete",
    "never": "never run",
}
"""What may be shown of the jobs, in words."""


class Shown(NamedTuple):
    """A job as the page shows it."""

    line: JobLine
    standing: Standing | None
    """None: no run of it was opened."""

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
    """Show the jobs that somebody may see."""
    dag_ids = jobs.list_dags(conn)
    dags, alive = facts_of(dag_ids), living(dag_ids)
    known = Dags(
        alive=alive,
        paused=[dag_id for dag_id, dag in dags.items() if dag.is_paused],
        off=[dag_id for dag_id, dag in dags.items() if dag.is_off],
    )
    look = partial(
        jobs.list_jobs,
        conn,
        search=search.strip(),
        hidden_dags=unseen(user, dag_ids),
        show=show,
        dags=known,
        most=JOBS_SHOWN,
    )
    found = look(offset=(page - 1) * JOBS_SHOWN)
    pages = max(1, -(-found.of // JOBS_SHOWN))
    if page > pages:
        page = pages
        found = look(offset=(page - 1) * JOBS_SHOWN)
    return _answer(
        request,
        conn,
        [shown(line, dags.get(line.dag_id or "", NO_DAG), alive) for line in found.lines],
        dags=[] if found.in_all else dags_for(user),
        of=found.of,
        all_of=found.in_all,
        needing=found.needing,
        search=search,
        show=show,
        page=page,
        pages=pages,
    )


def shown(line: JobLine, dag: DagFacts, alive: frozenset[tuple[str, str]]) -> Shown:
    """Return a job as the page shows it.

    :param dag: of the run that tells how it is
    :param alive: the DAG runs that are queued or running, by DAG and name
    """
    standing = None
    if line.status is not None:
        standing = standing_of(
            line.status,
            unapproved=line.approval == "waiting",
            stopping=line.stop_reason is not None,
            paused=bool(line.paused),
            active=bool(line.held) or (line.dag_id, line.dag_run_id) in alive,
            dag_paused=dag.is_paused,
        )
    needs = needs_of(standing, quarantines=line.quarantines, is_off=dag.is_off)
    return Shown(line, standing, needs, dag)


def _answer(
    request: Request, conn: Connection, shown: list[Shown], **values: object
) -> HTMLResponse:
    shell = shell_of(request)
    html = render(
        "jobs.html",
        shell,
        look_s=RARE_LOOK_S,
        shown=shown,
        counts=jobs.count_jobs(conn, [one.line for one in shown]),
        filters=FILTERS,
        most_counted=jobs.MOST_COUNTED,
        now=shown[0].line.read_at if shown else None,
        **values,
    )
    return answer(html, shell)
