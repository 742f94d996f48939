"""A job's quarantine, items and redrives by REST."""

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Query, status
from pydantic import Field

from retrofill.engine.fit import Range
from retrofill.model.records import model_of
from retrofill.model.selection import Place
from retrofill.pipeline.ask_redrive import Asked, ask
from retrofill.state import triage
from retrofill.state.items import FoundItems, ItemHistory, find_items, get_history
from retrofill.state.redrives import Redrive, list_redrives
from retrofill.state.triage import Group
from retrofill.web.access import State, VisibleJob, require_own_page
from retrofill.web.api.dependencies import LIMIT, Limit
from retrofill.web.narrowing import Narrowed, Selected
from retrofill.web.redrive import start

router = APIRouter(prefix="/jobs/{job_id}", tags=["Triage"])


class Filters(Narrowed, extra="forbid"):
    """Which items of a place are meant; fields that are left out select all."""


class RedriveFilters(Selected, extra="forbid"):
    """Which items to call again."""


class RedriveRequest(RedriveFilters):
    """A redrive to start."""

    note: str = Field(description="The reason. It is kept with the run.")


class Groups(NamedTuple):
    """The items in quarantine by error, the largest group first."""

    groups: list[Group]


class Redrives(NamedTuple):
    """Runs that redrive items, newest first."""

    redrives: list[Redrive]


class StartedRedrive(NamedTuple):
    """A redrive that was started."""

    dag_id: str
    dag_run_id: str
    items: int | None
    """The number of selected items; null: too many to count."""

    cost: Range | None
    """Their forecast cost in dollars; null: unknown."""


@router.get("/quarantine", summary="Get the quarantine by error", response_model=model_of(Groups))
def get_quarantine(conn: State, access: VisibleJob, narrowed: Annotated[Filters, Query()]) -> Any:
    """Return the items in quarantine by error, with examples."""
    found = triage.groups(conn, access.job.job_id, narrowed.within(Place.QUARANTINE))
    if found is None:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, "reading takes too long; select fewer items"
        )
    return Groups(found)


@router.get("/items", summary="Search for items", response_model=model_of(FoundItems))
def get_items(
    conn: State,
    access: VisibleJob,
    key: Annotated[str, Query(description="Their key, or its start.")],
    *,
    exact: Annotated[bool, Query(description="Find only items with exactly this key.")] = False,
    limit: Limit = LIMIT,
    after: Annotated[
        str | None, Query(description="The key of the last item on the previous page.")
    ] = None,
    after_identifier: Annotated[
        UUID | None, Query(description="The identifier of that item.")
    ] = None,
) -> Any:
    """Return the next items, ordered by key."""
    last = (after, str(after_identifier)) if after is not None and after_identifier else None
    return find_items(conn, access.job.job_id, key, exact=exact, most=limit, after=last)


@router.get("/items/{identifier}", summary="Get an item", response_model=model_of(ItemHistory))
def get_item(
    conn: State,
    access: VisibleJob,
    identifier: UUID,
    key: Annotated[str, Query(description="Its key.")],
) -> Any:
    """Return the history of an item: if and when it was processed, by which version and call."""
    return get_history(conn, access.job.job_id, key, str(identifier))


@router.get("/redrives", summary="List redrives", response_model=model_of(Redrives))
def get_redrives(conn: State, access: VisibleJob, limit: Limit = LIMIT) -> Any:
    """Return earlier redrives: their selection, reason and outcome."""
    return Redrives(list_redrives(conn, access.job.job_id, limit))


@router.get("/redrives/count", summary="Count a redrive", response_model=model_of(Asked))
def count_redrive(
    conn: State, access: VisibleJob, selected: Annotated[RedriveFilters, Query()]
) -> Any:
    """Return how many items a redrive would call, their cost, and the params of its run."""
    return ask(conn, access.job.job.name, selected.within(selected.place))


@router.post(
    "/redrives",
    summary="Start a redrive",
    response_model=model_of(StartedRedrive),
    status_code=status.HTTP_201_CREATED,
    dependencies=[Depends(require_own_page)],
)
def start_redrive(conn: State, user: GetUserDep, access: VisibleJob, body: RedriveRequest) -> Any:
    """Call the selected items again, in a run of the job's DAG."""
    selection = body.within(body.place)
    asked, dag_run_id = start(access, user, conn, selection, body.note.strip())
    return StartedRedrive(asked.dag_id, dag_run_id, asked.items, asked.cost)
