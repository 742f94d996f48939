"""The page of a run, at the address of each of its DAG runs."""

import time
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select

from retrofill.model.errors import ConfigError
from retrofill.model.runs import REFUSED, SetRef
from retrofill.pipeline.controls import change
from retrofill.state import pages, runs
from retrofill.state.connection import Connection
from retrofill.web import audit, links
from retrofill.web.access import EDIT, READ, RunAsker, State, may, require_own_page, who_asks
from retrofill.web.airflow_facts import is_paused, lives
from retrofill.web.answers import answer, say, shell_of
from retrofill.web.rendering import RARE_LOOK_S
from retrofill.web.run_rendering import render_run
from retrofill.web.shared import Shared

router = APIRouter()

_PATH = "/dags/{dag_id}/runs/{dag_run_id:path}"
_NO_RUN = "This DAG run has no Retrofill run"
_REFUSED = "This DAG run was refused"
_NO_RUN_YET = (
    "The tab is for DAG runs of Retrofill. If this is one, its page is here as soon as the task"
    " open_run has ended; if that says nothing here, its log does."
)

Asker = Annotated[RunAsker, Depends(who_asks)]

_PAGES: Shared[pages.RunPage] = Shared()


@router.get("/runs/{run_id}")
def find_run(request: Request, user: GetUserDep, conn: State, run_id: int) -> Response:
    """Lead to the page of a run by its number."""
    last = next(reversed(runs.later_sets(conn, SetRef(run_id, 0))), None)
    if not may(user, "GET", [last.dag_id] if last else []):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not see the runs of its DAG")
    if last is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no run {run_id}")
    page = links.run_of(shell_of(request).root, last.dag_id, last.dag_run_id)
    return RedirectResponse(page, status.HTTP_303_SEE_OTHER)


@router.get(_PATH, dependencies=[Depends(READ)])
def show_run(request: Request, asker: Asker, conn: State) -> HTMLResponse:
    """Show the run of a DAG run."""
    return _show(request, conn, asker)


@router.post(_PATH, dependencies=[Depends(EDIT), Depends(require_own_page)])
def change_run(
    request: Request,
    asker: Asker,
    conn: State,
    action: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume or stop an open run, or change a limit of it, and show it again."""
    ref = runs.find_set(conn, asker.dag_id, asker.dag_run_id)
    if ref is None:
        return say(request, _NO_RUN, "Nothing was changed.", code=status.HTTP_404_NOT_FOUND)
    try:
        done = change(conn, ref.run_id, action, text, asker.name)
    except ConfigError as error:
        return _show(request, conn, asker, f"Nothing was changed. {error}", code=422)
    if not done:
        problem = f"Nothing was changed: run {ref.run_id} is closed."
        return _show(request, conn, asker, problem, code=status.HTTP_409_CONFLICT)
    _PAGES.forget((conn.dsn, ref.run_id))
    audit.note(asker.name, asker.dag_id, asker.dag_run_id, action, text.strip())
    # Relative, since a proxy may serve Airflow under another path: the same page again.
    return RedirectResponse("?", status.HTTP_303_SEE_OTHER)


def _show(
    request: Request,
    conn: Connection,
    asker: RunAsker,
    problem: str = "",
    *,
    code: int = status.HTTP_200_OK,
) -> HTMLResponse:
    began = time.monotonic()
    ref = runs.find_set(conn, asker.dag_id, asker.dag_run_id)
    if ref is None:
        why = _why_refused(asker)
        title, text = (_REFUSED, why) if why else (_NO_RUN, _NO_RUN_YET)
        return say(request, title, text, look_s=RARE_LOOK_S)
    page = _PAGES.get((conn.dsn, ref.run_id), lambda: pages.get_page(conn, ref.run_id))
    shell = shell_of(request)
    html = render_run(
        page,
        dag_run_id=asker.dag_run_id,
        lives=lives(asker.dag_id, [line.dag_run_id for line in page.sets]),
        dag_paused=is_paused(asker.dag_id),
        may_change=asker.may_change,
        problem=problem,
        approval_link=links.approval(asker.dag_id, asker.dag_run_id),
        read_s=time.monotonic() - began,
        shell=shell,
    )
    return answer(html, shell, code)


def _why_refused(asker: RunAsker) -> str:
    """Return why the DAG run has opened no run; empty: its ``open_run`` has not said."""
    said = select(XComModel.value).where(
        XComModel.dag_id == asker.dag_id,
        XComModel.run_id == asker.dag_run_id,
        XComModel.task_id == "open_run",
        XComModel.key == REFUSED,
    )
    with create_session() as session:
        return str(session.scalar(said.limit(1)) or "")
