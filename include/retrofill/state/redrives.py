"""Requests of runs that redrive, and what these runs did."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.engine.fit import Range
from retrofill.engine.precedent import PastRun
from retrofill.model.amounts import counted, in_range
from retrofill.model.cost import dollars
from retrofill.model.selection import Selection
from retrofill.state.connection import Connection, Cursor, executed, find, rows
from retrofill.state.statements import load

_SQL = load("redrives.sql")

_PAST_RUNS = 10
"""Runs of the job from which a cost is forecast."""


class NewRedrive(NamedTuple):
    """The request of a run that redrives."""

    selection: Selection
    note: str
    asked_by: str
    """The user who triggered the DAG run; empty: unknown."""

    counted: int | None
    """Items of the selection when the run was opened; None: too many to count."""

    forecast: Range | None
    """Their forecast cost in dollars; None: unknown."""

    @property
    def text(self) -> str:
        """The request, for logs and pages."""
        items = "too many items to count" if self.counted is None else counted(self.counted, "item")
        cost = in_range(self.forecast, dollars)
        by = f", asked by {self.asked_by}" if self.asked_by else ""
        return f"{items} of {self.selection.text}; cost {cost}{by}"


class Redrive(NamedTuple):
    """A run that redrives: its request, and what it did so far."""

    run_id: int
    selection: Selection
    note: str
    asked_by: str
    counted: int | None
    forecast: Range | None
    status: str
    stop_reason: str | None
    moved: int
    succeeded: int
    quarantined: int
    items_left: int
    cost: float | None
    opened_at: datetime
    closed_at: datetime | None
    dag_id: str
    dag_run_id: str


class Listing(NamedTuple):
    """The last run of a job that listed its source."""

    run_id: int
    config: dict[str, Any]
    dag_id: str
    since: datetime | None
    """The start of the first interval that runs of the job listed; None: they had no interval."""

    until: datetime | None
    """The end of the last one."""


def insert(cur: Cursor, run_id: int, new: NewRedrive) -> None:
    """Store the request of a run, in the transaction that opens the run."""
    cur.execute(
        _SQL["insert_redrive"],
        {
            **new._asdict(),
            "run_id": run_id,
            "selection": json.dumps(new.selection.as_json()),
            "forecast": json.dumps(new.forecast) if new.forecast else None,
        },
    )


def list_redrives(conn: Connection, job_id: int, most: int = 20) -> list[Redrive]:
    """Return the last redrives of a job, the newest first."""
    with executed(conn, _SQL["list_redrives"], job_id=job_id, redrives=most) as cur:
        return rows(
            cur,
            Redrive,
            selection=Selection.from_json,
            forecast=lambda stored: stored and Range(*stored),
        )


def list_costs(conn: Connection, job_id: int) -> Sequence[PastRun]:
    """Return the costs of a job's last runs, as far as they are known."""
    with executed(conn, _SQL["list_costs"], job_id=job_id, runs=_PAST_RUNS) as cur:
        return rows(cur, PastRun)


def find_listing(conn: Connection, job_id: int) -> Listing | None:
    """Return the last run of a job that listed its source; None: there is none."""
    with executed(conn, _SQL["get_listing"], job_id=job_id) as cur:
        return find(cur, Listing)
