"""The pages of items: looking for one by its key, and its whole history."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from retrofill.functions.kind import Called
from retrofill.model.function import Pinned
from retrofill.state import items, runs
from retrofill.state.items import ItemCall, ItemHistory, Placed, Redriven
from retrofill.web import links
from retrofill.web.access import SeenJob, State
from retrofill.web.answers import answer, shell_of
from retrofill.web.rendering import render

router = APIRouter()

ITEMS_SHOWN = 50
PLACES = {
    "in_process": "in process: not processed yet",
    "results": "processed",
    "quarantine": "in quarantine: it waits for a person",
}
"""Where an item is, in words."""

_SEARCH = "/jobs/{job_id}/items"
_ITEM = "/jobs/{job_id}/items/{identifier}"


@router.get(_SEARCH)
def find_items(
    request: Request,
    asker: SeenJob,
    conn: State,
    *,
    key: str = "",
    after: str = "",
    after_identifier: Annotated[UUID | None, Query()] = None,
) -> HTMLResponse:
    """Show the items with a key, and those whose key begins so."""
    job_id = asker.job.job_id
    last = (after, str(after_identifier)) if after and after_identifier else None
    found = items.find_items(conn, job_id, key, exact=False, most=ITEMS_SHOWN, after=last)
    shell = shell_of(request)
    html = render(
        "items.html",
        shell,
        job=asker.job.job,
        job_id=job_id,
        key=key,
        found=found,
        is_first=last is None,
        exact=[one for one in found.items if one.key == key],
        places=PLACES,
        now=datetime.now(UTC),
    )
    return answer(html, shell)


@router.get(_ITEM)
def show_item(
    request: Request, asker: SeenJob, conn: State, identifier: UUID, key: str
) -> HTMLResponse:
    """Show the history of an item."""
    history = items.get_history(conn, asker.job.job_id, key, str(identifier))
    shell = shell_of(request)
    html = render(
        "item.html",
        shell,
        job=asker.job.job,
        job_id=asker.job.job_id,
        history=history,
        said=_said(history),
        last_call=history.placed and _call_of(history, history.placed),
        events=events_of(
            history,
            {run_id: runs.get_run(conn, run_id).function for run_id in _runs_of(history)},
        ),
        places=PLACES,
        now=datetime.now(UTC),
    )
    return answer(html, shell)


class Logs(NamedTuple):
    """Where the log of a call is."""

    task: str = ""
    """That of its batch in Airflow; empty: nobody knows."""

    function: str | None = None
    """That of the function; None: nobody can tell."""


class Event(NamedTuple):
    """Something that happened to an item."""

    at: datetime
    what: str
    """called, quarantined, redriven or processed."""

    call: ItemCall | None = None
    logs: Logs = Logs()
    life: Placed | Redriven | None = None
    """What quarantine or results say of it."""


def events_of(history: ItemHistory, functions: Mapping[int, Pinned]) -> list[Event]:
    """Return what happened to an item, the first first.

    :param functions: by the numbers of the runs that called it
    """
    events = [
        Event(call.sent_at, "called", call, _logs_of(call, functions[call.run_id]))
        for call in history.calls
    ]
    for life in history.redriven:
        if life.quarantined_at is not None:
            events.append(Event(life.quarantined_at, "quarantined", life=life))
        if life.settled_at is not None:
            events.append(Event(life.settled_at, "processed", life=life))
        events.append(Event(life.redriven_at, "redriven", life=life))
    placed = history.placed
    if placed is not None and placed.at is not None:
        what = "processed" if placed.place == "results" else "quarantined"
        events.append(Event(placed.at, what, life=placed))
    return sorted(events, key=lambda event: event.at)


def _logs_of(call: ItemCall, function: Pinned) -> Logs:
    called = Called(call.request_id, call.sent_at, call.ended_at)
    return Logs(
        links.task_log(call.dag_id, call.dag_run_id, call.task_id, call.map_index),
        links.function_log(function, called),
    )


def _call_of(history: ItemHistory, placed: Placed) -> ItemCall | None:
    """Return the call by which an item came to its place; None: it is forgotten."""
    wanted = (placed.batch_id, placed.call_no)
    calls = (call for call in history.calls if (call.batch_id, call.call_no) == wanted)
    return next(calls, None)


def _runs_of(history: ItemHistory) -> set[int]:
    return {call.run_id for call in history.calls}


def _said(history: ItemHistory) -> str:
    """Return whether the item was processed, in a few words."""
    if history.placed is not None:
        return PLACES[history.placed.place]
    if history.all_in_process:
        return "not known to this job"
    return "neither processed nor in quarantine"
