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
from retrofill.model.runs import REFUSED, DagRun
from retrofill.pipeline.controls import change
from retrofill.state import pages, runs
from retrofill.state.connection import Connection
from retrofill.web import audit, links
from retrofill.web.access import EDIT, READ, State, last_dag_run, may, require_own_page
from retrofill.web.airflow_facts import is_any_active, is_paused
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond, root_of
from retrofill.web.run_rendering import refresh_interval_s, values_of_run
from retrofill.web.shared import Shared

router = APIRouter()

_PATH = "/dags/{dag_id}/runs/{dag_run_id:path}"
_NO_RUN = "This DAG run has no Retrofill run"
_NO_RUN_YET = (
    "This tab is for DAG runs of Retrofill. If this is one, the page appears here when its task"
    " open_run ends. If nothing appears, see the log of open_run."
)

DagRunInPath = Annotated[DagRun, Depends(DagRun)]

_PAGES: Shared[pages.RunPage] = Shared()


@router.get("/runs/{run_id}")
def find_run(request: Request, user: GetUserDep, conn: State, run_id: int) -> Response:
    """Redirect to the page of a run by its number."""
    last = last_dag_run(user, conn, run_id, "GET")
    page = links.run_of(root_of(request), last.dag_id, last.dag_run_id)
    return RedirectResponse(page, status.HTTP_303_SEE_OTHER)


@router.get(_PATH, dependencies=[Depends(READ)])
def show_run(
    request: Request, user: GetUserDep, dag_run: DagRunInPath, conn: State
) -> HTMLResponse:
    """Show the run of a DAG run."""
    return _show(request, conn, dag_run, may_change=may(user, "PUT", [dag_run.dag_id]))


@router.post(_PATH, dependencies=[Depends(EDIT), Depends(require_own_page)])
def change_run(
    request: Request,
    user: GetUserDep,
    dag_run: DagRunInPath,
    conn: State,
    *,
    action: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume or stop an open run, or change one of its limits, and show it again."""
    ref = runs.find_set(conn, *dag_run)
    if ref is None:
        message = "this DAG run has no Retrofill run, so nothing was changed"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    try:
        done = change(conn, ref.run_id, action, text, user.get_name())
    except ConfigError as error:
        return _show(request, conn, dag_run, f"Nothing was changed. {error}", code=422)
    if not done:
        problem = f"Nothing was changed: run {ref.run_id} is closed."
        return _show(request, conn, dag_run, problem, code=status.HTTP_409_CONFLICT)
    _PAGES.forget((conn.dsn, ref.run_id))
    audit.record(user.get_name(), *dag_run, action, text.strip())
    # The same page again. Relative, because a proxy may serve Airflow under another path.
    return RedirectResponse("?", status.HTTP_303_SEE_OTHER)


def _show(
    request: Request,
    conn: Connection,
    dag_run: DagRun,
    problem: str = "",
    *,
    may_change: bool = True,
    code: int = status.HTTP_200_OK,
) -> HTMLResponse:
    began = time.monotonic()
    ref = runs.find_set(conn, *dag_run)
    if ref is None:
        why = _why_refused(dag_run)
        return respond(
            request,
            "message.html",
            refresh_s=RARE_REFRESH_S,
            title="This DAG run was refused" if why else _NO_RUN,
            text=why or _NO_RUN_YET,
        )
    page = _PAGES.get((conn.dsn, ref.run_id), lambda: pages.get_page(conn, ref.run_id))
    active = is_any_active(dag_run.dag_id, [line.dag_run_id for line in page.sets])
    values = values_of_run(page, active=active, dag_paused=is_paused(dag_run.dag_id))
    return respond(
        request,
        "run.html",
        code=code,
        refresh_s=refresh_interval_s(page, time.monotonic() - began),
        dag_run_id=dag_run.dag_run_id,
        may_change=may_change,
        problem=problem,
        approval_link=links.approval(*dag_run),
        **values,
    )


def _why_refused(dag_run: DagRun) -> str:
    """Return why the DAG run opened no run; empty: its ``open_run`` gave no reason."""
    said = select(XComModel.value).where(
        XComModel.dag_id == dag_run.dag_id,
        XComModel.run_id == dag_run.dag_run_id,
        XComModel.task_id == "open_run",
        XComModel.key == REFUSED,
    )
    with create_session() as session:
        return str(session.scalar(said.limit(1)) or "")
