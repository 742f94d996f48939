"""The pages of items: search by key, and the whole history of one item."""

from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.state import items, runs
from retrofill.state.items import ItemCall, ItemHistory, Placed, Redriven
from retrofill.web.access import State, VisibleJob
from retrofill.web.responses import respond

router = APIRouter()

ITEMS_SHOWN = 50
PLACES = {
    "in_process": "in process: not processed yet",
    "results": "processed",
    "quarantine": "in quarantine: it waits for you",
}
"""Where an item is, in words: in short, then what that means."""


@router.get("/jobs/{job_id}/items")
def find_items(
    request: Request,
    access: VisibleJob,
    conn: State,
    *,
    key: str = "",
    after: str = "",
    after_identifier: Annotated[UUID | None, Query()] = None,
) -> HTMLResponse:
    """Show the items whose keys are, or start with, a text."""
    job_id = access.job.job_id
    last = (after, str(after_identifier)) if after and after_identifier else None
    found = items.find_items(conn, job_id, key, exact=False, most=ITEMS_SHOWN, after=last)
    return respond(
        request,
        "items.html",
        job=access.job.job,
        job_id=job_id,
        key=key,
        found=found,
        is_first=last is None,
        exact=[one for one in found.items if one.key == key],
        places=PLACES,
    )


@router.get("/jobs/{job_id}/items/{identifier}")
def show_item(
    request: Request, access: VisibleJob, conn: State, identifier: UUID, key: str
) -> HTMLResponse:
    """Show the history of an item."""
    job_id = access.job.job_id
    history = items.get_history(conn, job_id, key, str(identifier))
    run_ids = {call.run_id for call in history.calls}
    in_place_by = history.placed and (history.placed.batch_id, history.placed.call_no)
    return respond(
        request,
        "item.html",
        job=access.job.job,
        job_id=job_id,
        history=history,
        last_call=next(
            (call for call in history.calls if (call.batch_id, call.call_no) == in_place_by), None
        ),
        functions={run_id: runs.get_run(conn, run_id).function for run_id in run_ids},
        events=events_of(history),
        places=PLACES,
    )


class Event(NamedTuple):
    """Something that happened to an item."""

    at: datetime
    what: str
    """called, quarantined, redriven or processed."""

    record: ItemCall | Placed | Redriven
    """The call, or what quarantine or the results cache recorded."""


def events_of(history: ItemHistory) -> list[Event]:
    """Return what happened to an item, oldest first."""
    events = [Event(call.sent_at, "called", call) for call in history.calls]
    for redriven in history.redriven:
        if redriven.quarantined_at is not None:
            events.append(Event(redriven.quarantined_at, "quarantined", redriven))
        if redriven.settled_at is not None:
            events.append(Event(redriven.settled_at, "processed", redriven))
        events.append(Event(redriven.redriven_at, "redriven", redriven))
    placed = history.placed
    if placed is not None and placed.at is not None:
        what = "processed" if placed.place == "results" else "quarantined"
        events.append(Event(placed.at, what, placed))
    return sorted(events, key=lambda event: event.at)
