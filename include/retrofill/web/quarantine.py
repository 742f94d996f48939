"""The page of a job's quarantine: by error, with examples, and what was redriven before."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.state import redrives, triage
from retrofill.state.redrives import Redrive
from retrofill.state.triage import Group
from retrofill.web import links
from retrofill.web.access import SeenJob, State, may
from retrofill.web.answers import answer, shell_of
from retrofill.web.narrowing import Narrowed
from retrofill.web.rendering import RARE_LOOK_S, render

router = APIRouter()


_PATH = "/jobs/{job_id}/quarantine"


@router.get(_PATH)
def show_quarantine(
    request: Request,
    asker: SeenJob,
    user: GetUserDep,
    conn: State,
    narrowed: Annotated[Narrowed, Query()],
) -> HTMLResponse:
    """Show what of a job waits for a person."""
    job_id = asker.job.job_id
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
    shell = shell_of(request)
    redrive = links.redrive(shell.root, job_id)
    html = render(
        "quarantine.html",
        shell,
        look_s=RARE_LOOK_S if any(one.status == "open" for one in earlier) else 0,
        job=asker.job.job,
        job_id=job_id,
        may_trigger=listing is not None and may(user, "POST", [listing.dag_id]),
        typed=narrowed.typed,
        problem=problem,
        is_narrowed=selection != Selection(),
        groups=found,
        redrive_all=f"{redrive}?{query_of(selection)}",
        redrive_successes=f"{redrive}?{urlencode({'place': Place.SUCCESSES.value})}",
        redrive_of={
            group.error_type: f"{redrive}?{query_of(selection.with_error(group.error_type))}"
            for group in found or ()
            # Without a name it cannot be selected by it.
            if group.error_type
        },
        limits=triage,
        earlier=earlier,
        settled=_settled,
        now=datetime.now(UTC),
    )
    return answer(html, shell, 422 if problem else 200)


def query_of(selection: Selection) -> str:
    """Return a selection as the query of an address."""
    typed = {"unsure": "any", **selection.as_json()}
    if selection.unsure is not None:
        typed["unsure"] = "only" if selection.unsure else "without"
    return urlencode(typed)


def _settled(redrive: Redrive) -> int:
    """Return how many of the items that a run has redriven are settled, as far as is known."""
    return max(0, redrive.moved - redrive.items_left)
