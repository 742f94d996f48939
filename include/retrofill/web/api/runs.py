"""Runs by REST: list, show, pause, resume and stop them, and change their limits."""

import json
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query, status
from pydantic import BaseModel, ConfigDict, Field, create_model

from retrofill.model.limits import Limits
from retrofill.model.records import model_of
from retrofill.model.report import Report
from retrofill.pipeline.controls import BY_CAUSE, LIMITS, change, set_limits
from retrofill.state import limits, pages
from retrofill.state.pages import RunPage
from retrofill.state.runs import list_runs
from retrofill.web import audit
from retrofill.web.access import State
from retrofill.web.api.dependencies import (
    LIMIT,
    EditableRun,
    Hidden,
    Limit,
    RunToChange,
    VisibleRun,
)

router = APIRouter(prefix="/runs", tags=["Runs"])

_LONGEST_REASON = 1_000
_LARGEST_JOB_ID = 2**31 - 1


class Runs(NamedTuple):
    """Some runs, newest first."""

    runs: list[Report]
    next_before: int | None
    """The value of ``before`` for the next page; null: there are no more runs."""


class Reason(BaseModel, extra="forbid"):
    """Why a run stops."""

    reason: str = Field(
        default="", max_length=_LONGEST_REASON, description="Shown in the report and on the page."
    )


def _changes() -> type[BaseModel]:
    """Return the model of the limits to change; those that are left out do not change."""
    fields: dict[str, Any] = {
        limit.name: (
            (int if limit.is_whole else float) | (None if limit.may_be_empty else int),
            Field(default=None, ge=limit.minimum, le=limit.maximum, description=limit.words),
        )
        for limit in LIMITS.values()
    }
    fields[BY_CAUSE] = (
        dict[str, float],
        Field(default={}, description="Percentages by cause; an empty object: no such limits."),
    )
    return create_model("LimitChanges", __config__=ConfigDict(extra="forbid"), **fields)


LimitChanges = _changes()


@router.get("", summary="List runs, newest first", response_model=model_of(Runs))
def get_runs(
    conn: State,
    hidden: Hidden,
    job_id: Annotated[
        int | None, Query(le=_LARGEST_JOB_ID, description="Only runs of this job.")
    ] = None,
    before: Annotated[int | None, Query(description="Only runs older than this one.")] = None,
    limit: Limit = LIMIT,
) -> Any:
    """Return runs that you may see."""
    found = list_runs(conn, job_id=job_id, hidden_dags=hidden, before=before, most=limit)
    more = found[-1].run_id if len(found) == limit else None
    return Runs(found, more)


@router.get("/{run_id}", summary="Get a run", response_model=model_of(RunPage))
def get_run(conn: State, run: VisibleRun) -> Any:
    """Return what its page shows: report, limits, plan, approval, calls by outcome, lists."""
    return pages.get_page(conn, run)


@router.post("/{run_id}/pause", summary="Pause a run", response_model=model_of(Limits))
def pause(conn: State, run: EditableRun) -> Any:
    """Complete the calls in flight and send no others; return the current limits."""
    return _act(conn, run, "pause")


@router.post("/{run_id}/resume", summary="Resume a run", response_model=model_of(Limits))
def resume(conn: State, run: EditableRun) -> Any:
    """Continue a paused run; return the current limits."""
    return _act(conn, run, "resume")


@router.post("/{run_id}/stop", summary="Stop a run", response_model=model_of(Report))
def stop(conn: State, run: EditableRun, body: Reason | None = None) -> Any:
    """Complete the calls in flight and close the run as incomplete; return its report."""
    _act(conn, run, "stop", body.reason if body else "")
    return pages.get_page(conn, run.run_id).report


@router.patch("/{run_id}/limits", summary="Change limits", response_model=model_of(Limits))
def change_limits(conn: State, run: EditableRun, body: LimitChanges) -> Any:  # type: ignore[valid-type]
    """Change all of the given limits or none; return the current limits. null: no limit."""
    asked: dict[str, Any] = body.model_dump(exclude_unset=True)  # type: ignore[attr-defined]
    # As a user would type them.
    typed = {name: "" if value is None else json.dumps(value) for name, value in asked.items()}
    if typed:
        _require_open(set_limits(conn, run.run_id, typed, run.user), run.run_id)
    for name, text in typed.items():
        audit.record(run.user, *run.dag_run, name, text)
    return limits.get_limits(conn, run.run_id)


def _act(conn: State, run: RunToChange, action: str, text: str = "") -> Limits:
    _require_open(change(conn, run.run_id, action, text, run.user), run.run_id)
    audit.record(run.user, *run.dag_run, action, text)
    return limits.get_limits(conn, run.run_id)


def _require_open(done: bool, run_id: int) -> None:  # noqa: FBT001  the result of the change
    if not done:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"run {run_id} is closed, so nothing was changed"
        )
