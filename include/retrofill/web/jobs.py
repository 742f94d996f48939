"""The page of all jobs: those first that need a person."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.needs import needs_of, urgency
from retrofill.model.standing import Standing, standing_of
from retrofill.state import jobs
from retrofill.state.connection import Connection
from retrofill.state.jobs import JobLine
from retrofill.web.access import READ, State, may
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

    def passes(self, show: str) -> bool:
        """Return whether one of FILTERS lets it through."""
        match show:
            case "needs":
                return bool(self.needs)
            case "open":
                return self.line.state == "open"
            case "quarantine":
                return self.line.quarantines
            case "incomplete" | "complete":
                return self.line.state == show
            case "never":
                return self.line.run_id is None
            case _:
                return True


@router.get("/jobs", dependencies=[Depends(READ)])
def show_jobs(
    request: Request,
    user: GetUserDep,
    conn: State,
    *,
    search: Annotated[str, Query(alias="q")] = "",
    show: str = "",
    page: Annotated[int, Query(ge=1)] = 1,
) -> HTMLResponse:
    """Show the jobs that somebody may see."""
    dags = jobs.list_dags(conn)
    hidden = [dag_id for dag_id in dags if not may(user, "GET", [dag_id])]
    lines = jobs.list_jobs(conn, search=search.strip(), hidden_dags=hidden)
    every = _in_order(lines, facts_of(dags), living(dags))
    passed = [one for one in every if one.passes(show)]
    pages = max(1, -(-len(passed) // JOBS_SHOWN))
    page = min(page, pages)
    shown = passed[(page - 1) * JOBS_SHOWN : page * JOBS_SHOWN]
    return _answer(
        request,
        conn,
        shown,
        dags=dags_for(user) if not every else [],
        of=len(passed),
        all_of=len(every),
        needing=sum(bool(one.needs) for one in every),
        search=search,
        show=show,
        page=page,
        pages=pages,
    )


def _in_order(
    lines: Sequence[JobLine],
    dags: Mapping[str, DagFacts],
    alive: frozenset[tuple[str, str]],
) -> list[Shown]:
    """Return the jobs, those first that need a person; then as they came."""
    shown = [_shown(line, dags.get(line.dag_id or "", NO_DAG), alive) for line in lines]
    return sorted(shown, key=lambda one: urgency(one.needs))


def _shown(line: JobLine, dag: DagFacts, alive: frozenset[tuple[str, str]]) -> Shown:
    standing = None
    if line.state is not None:
        standing = standing_of(
            line.state,
            unapproved=line.approval == "waiting",
            stopping=line.stop_reason is not None,
            paused=bool(line.paused),
            at_work=bool(line.held) or (line.dag_id, line.dag_run_id) in alive,
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
