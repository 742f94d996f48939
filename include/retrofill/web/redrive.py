"""The page of a redrive: it counts the items, asks for a reason, and starts exactly that."""

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.pipeline.ask_redrive import Asked, ask, require_note
from retrofill.state.connection import Connection
from retrofill.web import audit, links
from retrofill.web.access import JobAccess, State, VisibleJob, may, require_own_page
from retrofill.web.airflow_facts import is_paused
from retrofill.web.narrowing import Selected
from retrofill.web.responses import respond, root_of
from retrofill.web.trigger import trigger

router = APIRouter()

_PATH = "/jobs/{job_id}/redrive"


class RedriveForm(Selected):
    """The fields of the form that starts a redrive."""

    note: str = ""


@router.get(_PATH)
def count_redrive(
    request: Request,
    access: VisibleJob,
    user: GetUserDep,
    conn: State,
    selected: Annotated[Selected, Query()],
) -> HTMLResponse:
    """Show how many items a redrive would call, and its forecast cost."""
    narrows = selected.key or selected.version or selected.after or selected.before
    if selected.place is Place.SUCCESSES and not narrows:
        return _show(request, access, selected)
    try:
        asked = ask(conn, access.job.job.name, selected.within(selected.place))
    except ConfigError as mistake:
        return _show(request, access, selected, problem=str(mistake), code=422)
    may_trigger = may(user, "POST", [asked.dag_id])
    paused = is_paused(asked.dag_id)
    return _show(request, access, selected, asked, may_trigger=may_trigger, is_paused=paused)


@router.post(_PATH, dependencies=[Depends(require_own_page)])
def start_redrive(
    request: Request,
    access: VisibleJob,
    user: GetUserDep,
    conn: State,
    form: Annotated[RedriveForm, Form()],
) -> Response:
    """Start the DAG run that redrives the counted items."""
    try:
        asked, dag_run_id = start(access, user, conn, form.within(form.place), form.note.strip())
    except ConfigError as mistake:
        problem = f"Nothing was started. {mistake}"
        return _show(request, access, form, problem=problem, note=form.note, code=422)
    page = links.run_of(root_of(request), asked.dag_id, dag_run_id)
    return RedirectResponse(page, status.HTTP_303_SEE_OTHER)


def start(
    access: JobAccess, user: GetUserDep, conn: Connection, selection: Selection, note: str
) -> tuple[Asked, str]:
    """Start the DAG run that redrives a selection; return what it takes, and its id.

    :raises ConfigError: the selection or the note is not allowed, or selects nothing
    :raises HTTPException: 403, the user may not start the DAG
    """
    require_note(note)
    asked = ask(conn, access.job.job.name, selection, note)
    # The DAG that last listed the source, even if another worked for the job since.
    if not may(user, "POST", [asked.dag_id]):
        message = f"you may not start DAG runs of {asked.dag_id}"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
    if asked.items == 0:
        raise ConfigError(f"redrive: no item matches any more ({selection.text})")
    dag_run_id = trigger(asked.dag_id, asked.params, user.get_name())
    audit.record(user.get_name(), asked.dag_id, dag_run_id, "redrive", f"{selection.text}: {note}")
    return asked, dag_run_id


def _show(
    request: Request,
    access: JobAccess,
    selected: Selected,
    asked: Asked | None = None,
    *,
    problem: str = "",
    note: str = "",
    **values: Any,
) -> HTMLResponse:
    return respond(
        request,
        "redrive.html",
        job=access.job.job,
        job_id=access.job.job_id,
        place=selected.place.value,
        typed=selected.typed,
        asked=asked,
        problem=problem,
        note=note,
        **values,
    )
