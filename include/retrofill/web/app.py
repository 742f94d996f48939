"""The page of a run as an app that Airflow's API server mounts; who may see and change it.

Airflow gives a mounted app no protection of its own, so each route asks for permission by the
dependencies that Airflow's own routes use. They are no public API: tests/contracts pins them.
"""

import json
import logging
import secrets
import time
from typing import Annotated, NamedTuple
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models import DagModel, DagRun, Log
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select

from retrofill.connections import open_state
from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import ConfigError, SchemaMismatch, StateError
from retrofill.model.runs import REFUSED
from retrofill.pipeline.controls import change
from retrofill.state import pages, runs
from retrofill.state.connection import Connection
from retrofill.web.origin import is_own
from retrofill.web.rendering import RARE_LOOK_S, render_message, render_run

log = logging.getLogger(__name__)

_READ = requires_access_dag("GET", DagAccessEntity.RUN)
_EDIT = requires_access_dag("PUT", DagAccessEntity.RUN)
_PATH = "/dags/{dag_id}/runs/{dag_run_id:path}"
_NO_RUN = "This DAG run has no Retrofill run"
_REFUSED = "This DAG run was refused"
_NO_RUN_YET = (
    "The tab is for DAG runs of Retrofill. If this is one, its page is here as soon as the task"
    " open_run has ended; if that says nothing here, its log does."
)


class Asker(NamedTuple):
    """Who asks for the page of which DAG run."""

    dag_id: str
    dag_run_id: str
    name: str
    may_change: bool


def who_asks(request: Request, user: GetUserDep, dag_id: str, dag_run_id: str) -> Asker:
    """Return who asks; may they see the run at all, is asked elsewhere."""
    try:
        _EDIT(request, user)
        may_change = True
    except HTTPException:
        may_change = False
    return Asker(dag_id, dag_run_id, user.get_name(), may_change)


def app() -> FastAPI:
    """Return the app; Airflow's auth manager must be there when it is asked something."""
    made = FastAPI(title="Retrofill", openapi_url=None)
    made.get(_PATH, dependencies=[Depends(_READ)])(show_run)
    made.post(_PATH, dependencies=[Depends(_EDIT), Depends(require_own_page)])(change_run)
    made.exception_handler(HTTPException)(_refused)
    made.exception_handler(StateError)(_state_unusable)
    return made


def show_run(asker: Annotated[Asker, Depends(who_asks)]) -> HTMLResponse:
    """Show the run of a DAG run."""
    with open_state() as conn:
        return _show(conn, asker)


def change_run(
    asker: Annotated[Asker, Depends(who_asks)],
    action: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume or stop an open run, or change a limit of it, and show it again."""
    with open_state() as conn:
        ref = runs.find_set(conn, asker.dag_id, asker.dag_run_id)
        if ref is None:
            return _say(_NO_RUN, "Nothing was changed.", code=status.HTTP_404_NOT_FOUND)
        try:
            done = change(conn, ref.run_id, action, text, asker.name)
        except ConfigError as error:
            return _show(conn, asker, f"Nothing was changed. {error}", code=422)
        if not done:
            problem = f"Nothing was changed: run {ref.run_id} is closed."
            return _show(conn, asker, problem, code=status.HTTP_409_CONFLICT)
    _record(asker, action, text.strip())
    # Relative, since a proxy may serve Airflow under another path: the same page again.
    return RedirectResponse("?", status.HTTP_303_SEE_OTHER)


def require_own_page(request: Request) -> None:
    """Refuse a request that another page may have made the browser send.

    :raises HTTPException: 403
    """
    base_url = conf.get("api", "base_url", fallback="")
    if not is_own(request.headers, base_url):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "the request comes from another site than Airflow's setting [api] base_url names"
            f" ({base_url or 'not set'}); set it to the address at which people open Airflow",
        )


def _show(
    conn: Connection, asker: Asker, problem: str = "", *, code: int = status.HTTP_200_OK
) -> HTMLResponse:
    began = time.monotonic()
    ref = runs.find_set(conn, asker.dag_id, asker.dag_run_id)
    if ref is None:
        why = _why_refused(asker)
        return _say(_REFUSED if why else _NO_RUN, why or _NO_RUN_YET, look_s=RARE_LOOK_S)
    page = pages.get_page(conn, ref.run_id)
    nonce = secrets.token_urlsafe(16)
    html = render_run(
        page,
        dag_run_id=asker.dag_run_id,
        lives=_lives(asker.dag_id, [line.dag_run_id for line in page.sets]),
        dag_paused=_is_paused(asker.dag_id),
        may_change=asker.may_change,
        problem=problem,
        approval_link=_approval_link(asker),
        read_s=time.monotonic() - began,
        nonce=nonce,
    )
    return _answer(html, nonce, code)


def _approval_link(asker: Asker) -> str:
    """Return the address at which Airflow has the plan of a run approved."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    run = f"dags/{quote(asker.dag_id, safe='')}/runs/{quote(asker.dag_run_id, safe='')}"
    return f"{base}/{run}/tasks/approve/required_actions"


def _lives(dag_id: str, dag_run_ids: list[str]) -> bool:
    """Return whether Airflow has one of these DAG runs queued or running."""
    found = select(DagRun.id).where(
        DagRun.dag_id == dag_id,
        DagRun.run_id.in_(dag_run_ids),
        DagRun.state.in_([DagRunState.QUEUED, DagRunState.RUNNING]),
    )
    with create_session() as session:
        return session.scalar(found.limit(1)) is not None


def _why_refused(asker: Asker) -> str:
    """Return why the DAG run has opened no run; empty: its ``open_run`` has not said."""
    said = select(XComModel.value).where(
        XComModel.dag_id == asker.dag_id,
        XComModel.run_id == asker.dag_run_id,
        XComModel.task_id == "open_run",
        XComModel.key == REFUSED,
    )
    with create_session() as session:
        return str(session.scalar(said.limit(1)) or "")


def _is_paused(dag_id: str) -> bool:
    """Return whether the DAG is switched off: Airflow begins no task of it then."""
    with create_session() as session:
        return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


def _record(asker: Asker, action: str, value: str) -> None:
    """Write into Airflow's audit log who changed what."""
    with create_session() as session:
        entry = Log(
            event=f"retrofill_{action}",
            owner=asker.name,
            owner_display_name=asker.name,
            dag_id=asker.dag_id,
            run_id=asker.dag_run_id,
            extra=json.dumps({"value": value}),
        )
        session.add(entry)


def _refused(request: Request, error: HTTPException) -> HTMLResponse:
    del request
    titles = {401: "You are not signed in to Airflow", 403: "You may not do this"}
    title = titles.get(error.status_code, "This did not work")
    return _say(title, f"Airflow says: {error.detail}.", code=error.status_code)


def _state_unusable(request: Request, error: StateError) -> HTMLResponse:
    """Say what is wrong with the state; details that name servers are for the log."""
    del request
    log.warning("the page of a run: %s", error)
    if isinstance(error, SchemaMismatch):
        title, text = "The state's schema does not fit", str(error)
    else:
        title = "Retrofill's state cannot be reached"
        text = (
            f"It is the Postgres database of Airflow's connection {STATE_CONN_ID}."
            " The log of Airflow's API server says what is wrong. Runs that are at work wait for"
            " the database by themselves."
        )
    return _say(title, text, code=503, look_s=RARE_LOOK_S)


def _say(title: str, text: str, *, code: int = 200, look_s: int = 0) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    return _answer(render_message(title, text, look_s=look_s, nonce=nonce), nonce, code)


def _answer(html: str, nonce: str, code: int) -> HTMLResponse:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, code, headers)
