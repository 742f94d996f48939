"""Quarantine, items and redrives of a job by REST."""

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
from retrofill.web.access import SeenJob, State, require_own_page
from retrofill.web.api.asking import LIMIT, Limit
from retrofill.web.narrowing import Narrowed, Selected
from retrofill.web.redrive import start

router = APIRouter(prefix="/jobs/{job_id}", tags=["Triage"])


class NarrowedBy(Narrowed, extra="forbid"):
    """What of a place is meant; what is left out does not narrow it."""


class SelectedBy(Selected, extra="forbid"):
    """What is to be called again."""


class NewRedrive(SelectedBy):
    """A redrive to start."""

    note: str = Field(description="Why: it is kept with the run.")


class Groups(NamedTuple):
    """What is in quarantine, by error, the largest group first."""

    groups: list[Group]


class Redrives(NamedTuple):
    """Runs that redrive, the newest first."""

    redrives: list[Redrive]


class Begun(NamedTuple):
    """A redrive that was started."""

    dag_id: str
    dag_run_id: str
    items: int | None
    """How many items it is about; null: too many to count."""

    cost: Range | None
    """Dollars that they are likely to cost; null: unknown."""


@router.get("/quarantine", summary="Quarantine, by error", response_model=model_of(Groups))
def get_quarantine(conn: State, asker: SeenJob, narrowed: Annotated[NarrowedBy, Query()]) -> Any:
    """Return what waits for a person, by error, with examples."""
    found = triage.groups(conn, asker.job.job_id, narrowed.within(Place.QUARANTINE))
    if found is None:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "that takes too long; select less")
    return Groups(found)


@router.get("/items", summary="Look for items", response_model=model_of(FoundItems))
def get_items(
    conn: State,
    asker: SeenJob,
    key: Annotated[str, Query(description="Their key, or what it begins with.")],
    *,
    exact: Annotated[bool, Query(description="Whether the key must be this one.")] = False,
    limit: Limit = LIMIT,
    after: Annotated[str | None, Query(description="The key of the last one before.")] = None,
    after_identifier: Annotated[
        UUID | None, Query(description="The identifier of the last one before.")
    ] = None,
) -> Any:
    """Return the next items, in the order of their keys."""
    last = (after, str(after_identifier)) if after is not None and after_identifier else None
    return find_items(conn, asker.job.job_id, key, exact=exact, most=limit, after=last)


@router.get("/items/{identifier}", summary="An item", response_model=model_of(ItemHistory))
def get_item(
    conn: State,
    asker: SeenJob,
    identifier: UUID,
    key: Annotated[str, Query(description="Its key.")],
) -> Any:
    """Return all that is known of an item: was it processed, when, by which version and call."""
    return get_history(conn, asker.job.job_id, key, str(identifier))


@router.get("/redrives", summary="List redrives", response_model=model_of(Redrives))
def get_redrives(conn: State, asker: SeenJob, limit: Limit = LIMIT) -> Any:
    """Return what was called again: what was selected, why, and what became of it."""
    return Redrives(list_redrives(conn, asker.job.job_id, limit))


@router.get("/redrives/count", summary="Count a redrive", response_model=model_of(Asked))
def count_redrive(conn: State, asker: SeenJob, selected: Annotated[SelectedBy, Query()]) -> Any:
    """Return how many items a redrive would call, what they may cost, and what would start it."""
    return ask(conn, asker.job.job.name, selected.selection)


@router.post(
    "/redrives",
    summary="Start a redrive",
    response_model=model_of(Begun),
    status_code=status.HTTP_201_CREATED,
    dependencies=[Depends(require_own_page)],
)
def start_redrive(conn: State, user: GetUserDep, asker: SeenJob, body: NewRedrive) -> Any:
    """Call again what is selected, in a run of the job's DAG."""
    asked, dag_run_id = start(asker, user, conn, body.selection, body.note.strip())
    return Begun(asked.dag_id, dag_run_id, asked.items, asked.cost)
