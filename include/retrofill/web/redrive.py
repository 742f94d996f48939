"""The page that asks for a redrive: it counts first, asks why, and starts exactly that."""

from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.pipeline.ask_redrive import Asked, ask, require_note
from retrofill.pipeline.select import select
from retrofill.state.connection import Connection
from retrofill.web import audit, links
from retrofill.web.access import JobAsker, State, may, require_own_page, who_asks_for_job
from retrofill.web.airflow_facts import is_paused
from retrofill.web.answers import answer, shell_of
from retrofill.web.rendering import render
from retrofill.web.trigger import trigger

router = APIRouter()

_PATH = "/jobs/{job_id}/redrive"
_NARROWING = ("key", "version", "after", "before")

Asker = Annotated[JobAsker, Depends(who_asks_for_job)]


@router.get(_PATH)
def count_redrive(
    request: Request,
    asker: Asker,
    user: GetUserDep,
    conn: State,
    *,
    place: Annotated[Place, Query()] = Place.QUARANTINE,
    error: Annotated[str, Query()] = "",
    key: Annotated[str, Query()] = "",
    version: Annotated[str, Query()] = "",
    after: Annotated[str, Query()] = "",
    before: Annotated[str, Query()] = "",
    unsure: Annotated[str, Query()] = "any",
) -> HTMLResponse:
    """Show how many items a redrive would call, and what that will cost."""
    typed = {"error": error, "key": key, "version": version, "after": after, "before": before}
    typed["unsure"] = unsure
    if place is Place.SUCCESSES and not any(typed[name] for name in _NARROWING):
        return _show(request, asker, place, typed)
    try:
        asked = ask(conn, asker.job.job.name, select(place, **typed))
    except ConfigError as mistake:
        return _show(request, asker, place, typed, problem=str(mistake), code=422)
    may_trigger = may(user, "POST", [asked.dag_id])
    return _show(request, asker, place, typed, asked=asked, may_trigger=may_trigger)


@router.post(_PATH, dependencies=[Depends(require_own_page)])
def start_redrive(
    request: Request,
    asker: Asker,
    user: GetUserDep,
    conn: State,
    *,
    place: Annotated[Place, Form()] = Place.QUARANTINE,
    error: Annotated[str, Form()] = "",
    key: Annotated[str, Form()] = "",
    version: Annotated[str, Form()] = "",
    after: Annotated[str, Form()] = "",
    before: Annotated[str, Form()] = "",
    unsure: Annotated[str, Form()] = "any",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Start the DAG run that redrives what was counted."""
    typed = {"error": error, "key": key, "version": version, "after": after, "before": before}
    typed["unsure"] = unsure
    try:
        asked, dag_run_id = start(asker, user, conn, select(place, **typed), note.strip())
    except ConfigError as mistake:
        problem = f"Nothing was started. {mistake}"
        return _show(request, asker, place, typed, problem=problem, note=note, code=422)
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
        raise ConfigError(f"redrive: nothing is there any more ({selection.said})")
    dag_run_id = trigger(asked.dag_id, asked.params, asker.name)
    audit.note(asker.name, asked.dag_id, dag_run_id, "redrive", f"{selection.said}: {note}")
    return asked, dag_run_id


def _show(
    request: Request,
    asker: JobAsker,
    place: Place,
    typed: dict[str, str],
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
        place=place.value,
        typed=typed,
        asked=asked,
        is_paused=asked is not None and is_paused(asked.dag_id),
        may_trigger=may_trigger,
        problem=problem,
        note=note,
        now=datetime.now(UTC),
    )
    return answer(html, shell, code)
