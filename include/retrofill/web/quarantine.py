"""The page of a job's quarantine: by error, with examples, and earlier redrives."""

from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.state import redrives, triage
from retrofill.state.triage import Group
from retrofill.web import links
from retrofill.web.access import State, VisibleJob, may
from retrofill.web.narrowing import Narrowed
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond, root_of

router = APIRouter()


@router.get("/jobs/{job_id}/quarantine")
def show_quarantine(
    request: Request,
    access: VisibleJob,
    user: GetUserDep,
    conn: State,
    narrowed: Annotated[Narrowed, Query()],
) -> HTMLResponse:
    """Show the items of a job that wait in quarantine."""
    job_id = access.job.job_id
    problem, selection = "", Selection()
    found: list[Group] | None = []
    try:
        selection = narrowed.within(Place.QUARANTINE)
    except ConfigError as mistake:
        problem = str(mistake)
    else:
        found = triage.groups(conn, job_id, selection)
    earlier = redrives.list_redrives(conn, job_id)
    listing = redrives.find_listing(conn, job_id)
    redrive = f"{links.job(root_of(request), job_id)}/redrive"
    return respond(
        request,
        "quarantine.html",
        code=422 if problem else 200,
        refresh_s=RARE_REFRESH_S if any(one.status == "open" for one in earlier) else 0,
        job=access.job.job,
        job_id=job_id,
        may_trigger=listing is not None and may(user, "POST", [listing.dag_id]),
        typed=narrowed.typed,
        problem=problem,
        is_narrowed=selection != Selection(),
        groups=found,
        redrive_all=f"{redrive}?{query_of(selection)}",
        redrive_successes=f"{redrive}?place={Place.SUCCESSES.value}",
        redrive_of={
            group.error_type: f"{redrive}?{query_of(selection.with_error(group.error_type))}"
            for group in found or ()
            # Errors without a name cannot be selected.
            if group.error_type
        },
        limits=triage,
        earlier=earlier,
    )


def query_of(selection: Selection) -> str:
    """Return a selection as the query of an address."""
    typed = {"unsure": "any", **selection.as_json()}
    if selection.unsure is not None:
        typed["unsure"] = "only" if selection.unsure else "without"
    return urlencode(typed)
