"""The page that asks for a redrive: it counts first, asks why, and starts exactly that."""

from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.pipeline.ask_redrive import Asked, ask, require_note
from retrofill.state.connection import Connection
from retrofill.web import audit, links
from retrofill.web.access import JobAsker, SeenJob, State, may, require_own_page
from retrofill.web.airflow_facts import is_paused
from retrofill.web.answers import answer, shell_of
from retrofill.web.narrowing import Selected
from retrofill.web.rendering import render
from retrofill.web.trigger import trigger

router = APIRouter()

_PATH = "/jobs/{job_id}/redrive"
_NARROWING = ("key", "version", "after", "before")


class Wanted(Selected):
    """What the form asks for."""

    note: str = ""


@router.get(_PATH)
def count_redrive(
    request: Request,
    asker: SeenJob,
    user: GetUserDep,
    conn: State,
    selected: Annotated[Selected, Query()],
) -> HTMLResponse:
    """Show how many items a redrive would call, and what that will cost."""
    narrows = any(getattr(selected, name) for name in _NARROWING)
    if selected.place is Place.SUCCESSES and not narrows:
        return _show(request, asker, selected)
    try:
        asked = ask(conn, asker.job.job.name, selected.selection)
    except ConfigError as mistake:
        return _show(request, asker, selected, problem=str(mistake), code=422)
    may_trigger = may(user, "POST", [asked.dag_id])
    return _show(request, asker, selected, asked=asked, may_trigger=may_trigger)


@router.post(_PATH, dependencies=[Depends(require_own_page)])
def start_redrive(
    request: Request,
    asker: SeenJob,
    user: GetUserDep,
    conn: State,
    wanted: Annotated[Wanted, Form()],
) -> Response:
    """Start the DAG run that redrives what was counted."""
    try:
        asked, dag_run_id = start(asker, user, conn, wanted.selection, wanted.note.strip())
    except ConfigError as mistake:
        problem = f"Nothing was started. {mistake}"
        return _show(request, asker, wanted, problem=problem, note=wanted.note, code=422)
    page = links.run_of(shell_of(request).root, asked.dag_id, dag_run_id)
    return RedirectResponse(page, status.HTTP_303_SEE_OTHER)


def start(
    asker: JobAsker, user: GetUserDep, conn: Connection, selection: Selection, note: str
) -> tuple[Asked, str]:
    """Start the DAG run that redrives a selection; return what it takes, and its id.

    :raises ConfigError: it cannot be asked for, or means nothing
    :raises HTTPException: 403, somebody may not start it
    """
    require_note(note)
    asked = ask(conn, asker.job.job.name, selection, note)
    # The DAG that listed the source last, whichever worked for the job since.
    if not may(user, "POST", [asked.dag_id]):
        message = f"you may not start DAG runs of {asked.dag_id}"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
    if asked.items == 0:
        raise ConfigError(f"redrive: nothing is there any more ({selection.text})")
    dag_run_id = trigger(asked.dag_id, asked.params, asker.name)
    audit.note(asker.name, asked.dag_id, dag_run_id, "redrive", f"{selection.text}: {note}")
    return asked, dag_run_id


def _show(
    request: Request,
    asker: JobAsker,
    selected: Selected,
    *,
    asked: Asked | None = None,
    may_trigger: bool = False,
    problem: str = "",
    note: str = "",
    code: int = status.HTTP_200_OK,
) -> HTMLResponse:
    shell = shell_of(request)
    html = render(
        "redrive.html",
        shell,
        job=asker.job.job,
        job_id=asker.job.job_id,
        place=selected.place.value,
        typed=selected.typed,
        asked=asked,
        is_paused=asked is not None and is_paused(asked.dag_id),
        may_trigger=may_trigger,
        problem=problem,
        note=note,
        now=datetime.now(UTC),
    )
    return answer(html, shell, code)
