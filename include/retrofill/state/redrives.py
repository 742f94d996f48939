"""Redrives: what a person asked of a run that redrives, beside what became of it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.engine.fit import Range
from retrofill.engine.precedent import PastRun
from retrofill.model.amounts import counted, in_range
from retrofill.model.cost import dollars
from retrofill.model.selection import Selection
from retrofill.state.connection import Connection, Cursor, find, rows, transaction
from retrofill.state.statements import load

_SQL = load("redrives.sql")

_PAST_RUNS = 10
"""Runs of the job by which a cost is forecast."""


class NewRedrive(NamedTuple):
    """What is asked of a run that redrives."""

    selection: Selection
    note: str
    asked_by: str
    """Who triggered the DAG run; empty: nobody is known."""

    counted: int | None
    """How many items that were, when the run was opened; None: there were too many to count."""

    forecast: Range | None
    """Dollars that they were to cost; None: unknown."""

    @property
    def text(self) -> str:
        """What is asked, for people."""
        items = "too many items to count" if self.counted is None else counted(self.counted, "item")
        cost = in_range(self.forecast, dollars)
        by = f", asked by {self.asked_by}" if self.asked_by else ""
        return f"{items} of {self.selection.text}; cost {cost}{by}"


class Redrive(NamedTuple):
    """A run that redrives: what was asked of it, and what became of it so far."""

    run_id: int
    selection: Selection
    note: str
    asked_by: str
    counted: int | None
    forecast: Range | None
    status: str
    stop_reason: str | None
    moved: int
    """Items that it has redriven."""

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
    """When the first interval begins that a run of the job listed; None: none did."""

    until: datetime | None
    """When the last of them ends."""


def write(cur: Cursor, run_id: int, new: NewRedrive) -> None:
    """Write down what is asked of a run, within the transaction that opens it."""
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
    with transaction(conn) as cur:
        cur.execute(_SQL["list_redrives"], {"job_id": job_id, "redrives": most})
        return rows(cur, Redrive, selection=Selection.from_json, forecast=_range)


def list_costs(conn: Connection, job_id: int) -> Sequence[PastRun]:
    """Return what the last runs of a job have cost, of those of which it is known."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_costs"], {"job_id": job_id, "runs": _PAST_RUNS})
        return rows(cur, PastRun)


def find_listing(conn: Connection, job_id: int) -> Listing | None:
    """Return the last run of a job that listed its source; None: there is none."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_listing"], {"job_id": job_id})
        return find(cur, Listing)


def _range(stored: Sequence[float] | None) -> Range | None:
    return Range(*stored) if stored else None
