"""Runs by REST: the newest first, one as its page shows it, and what may be done with it."""

import json
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query, status
from pydantic import BaseModel, ConfigDict, Field, create_model

from retrofill.model.limits import Limits
from retrofill.model.records import model_of
from retrofill.model.report import Report
from retrofill.pipeline.controls import BY_CAUSE, LIMITS, change, set_limits
from retrofill.state import limits, pages
from retrofill.state.listing import list_runs
from retrofill.state.pages import RunPage
from retrofill.web import audit
from retrofill.web.access import State
from retrofill.web.api.asking import LIMIT, ChangedRun, Hidden, Limit, RunAct, SeenRun

router = APIRouter(prefix="/runs", tags=["Runs"])

_LONGEST_REASON = 1_000

LARGEST_JOB_ID = 2**31 - 1
"""As the state has them."""


class Runs(NamedTuple):
    """Some runs, the newest first."""

    runs: list[Report]
    next_before: int | None
    """Ask for runs before this one; null: there are no more."""


class Reason(BaseModel):
    """Why a run is to stop."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        default="", max_length=_LONGEST_REASON, description="As report and page then say."
    )


def _changes() -> type[BaseModel]:
    """Return the model of the limits that may be changed, each left as it is if left out."""
    fields: dict[str, Any] = {
        limit.name: (
            (int if limit.is_whole else float) | (None if limit.may_be_empty else int),
            Field(default=None, ge=limit.minimum, le=limit.maximum, description=limit.words),
        )
        for limit in LIMITS.values()
    }
    fields[BY_CAUSE] = (
        dict[str, float],
        Field(default={}, description="Percents by cause; an empty object: no such limits."),
    )
    return create_model("LimitChanges", __config__=ConfigDict(extra="forbid"), **fields)


LimitChanges = _changes()


@router.get("", summary="List runs, the newest first", response_model=model_of(Runs))
def get_runs(
    conn: State,
    hidden: Hidden,
    job_id: Annotated[
        int | None, Query(le=LARGEST_JOB_ID, description="Only runs of this job.")
    ] = None,
    before: Annotated[int | None, Query(description="Only runs older than this one.")] = None,
    limit: Limit = LIMIT,
) -> Any:
    """Return runs that you may see."""
    found = list_runs(conn, job_id=job_id, hidden_dags=hidden, before=before, most=limit)
    more = found[-1].run_id if len(found) == limit else None
    return Runs(found, more)


@router.get("/{run_id}", summary="A run, as its page shows it", response_model=model_of(RunPage))
def get_run(conn: State, run: SeenRun) -> Any:
    """Return report, limits, plan and approval, calls by outcome, and the beginnings of lists."""
    return pages.get_page(conn, run)


@router.post("/{run_id}/pause", summary="Pause a run", response_model=model_of(Limits))
def pause(conn: State, run: ChangedRun) -> Any:
    """Have calls in flight end, and no other sent; return the limits as they are now."""
    return _act(conn, run, "pause")


@router.post("/{run_id}/resume", summary="Resume a run", response_model=model_of(Limits))
def resume(conn: State, run: ChangedRun) -> Any:
    """Have a run that is paused go on; return the limits as they are now."""
    return _act(conn, run, "resume")


@router.post("/{run_id}/stop", summary="Stop a run", response_model=model_of(Report))
def stop(conn: State, run: ChangedRun, body: Reason | None = None) -> Any:
    """Have calls in flight end, and the run close as incomplete; return its report."""
    _act(conn, run, "stop", body.reason if body else "")
    return pages.get_page(conn, run.run_id).report


@router.patch("/{run_id}/limits", summary="Change limits", response_model=model_of(Limits))
def change_limits(conn: State, run: ChangedRun, body: LimitChanges) -> Any:  # type: ignore[valid-type]
    """Change limits, all or none, and return them as they are now. null: no such limit."""
    asked: dict[str, Any] = body.model_dump(exclude_unset=True)  # type: ignore[attr-defined]
    typed = {name: _typed(value) for name, value in asked.items()}
    if typed:
        _require_open(set_limits(conn, run.run_id, typed, run.name), run.run_id)
    for name, text in typed.items():
        audit.note(run.name, run.dag_id, run.dag_run_id, name, text)
    return limits.get_limits(conn, run.run_id)


def _act(conn: State, run: RunAct, action: str, text: str = "") -> Limits:
    _require_open(change(conn, run.run_id, action, text, run.name), run.run_id)
    audit.note(run.name, run.dag_id, run.dag_run_id, action, text)
    return limits.get_limits(conn, run.run_id)


def _require_open(done: bool, run_id: int) -> None:  # noqa: FBT001  it is asked about
    if not done:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"run {run_id} is closed, so nothing was changed"
        )


def _typed(value: Any) -> str:
    """Return a value as a person would type it."""
    return "" if value is None else json.dumps(value)
