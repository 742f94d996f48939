"""Evaluate a redrive: count the selected items, and forecast their cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrofill.config import RunConfig, params_for
from retrofill.engine.fit import Range
from retrofill.engine.precedent import cost_of
from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.params.redrive import params_of
from retrofill.state.connection import Connection
from retrofill.state.redrives import Listing, NewRedrive, find_listing, list_costs
from retrofill.state.runs import find_job
from retrofill.state.triage import ALL_KEYS, Keys, count

_SOURCE_KIND = "source_kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A possible redrive: its size and cost, and the DAG run that does it."""

    items: int | None
    """The current number of items; None: too many to count."""

    cost: Range | None
    """Dollars; None: unknown."""

    dag_id: str
    params: Mapping[str, Any]
    """The params of the DAG run: those of the job's last run, with the selection."""


def ask(conn: Connection, job: str, selection: Selection, note: str = "") -> Asked:
    """Return count, cost and DAG run of a redrive.

    :raises ConfigError: there is no such job, none of its runs has listed its source, or the
        selection is not allowed
    """
    known = find_job(conn, job)
    if known is None:
        raise ConfigError(f"job: there is no job {job!r}")
    listing = find_listing(conn, known.job_id)
    if listing is None:
        raise ConfigError(f"job: no run of {job!r} has listed its source, so it has no items")
    params = _params(listing, job, selection, note)
    config = params_for(str(listing.config[_SOURCE_KIND])).config(params)
    items, cost = _evaluated(conn, known.job_id, config, selection)
    return Asked(items=items, cost=cost, dag_id=listing.dag_id, params=params)


def _evaluated(
    conn: Connection, job_id: int, config: RunConfig, selection: Selection
) -> tuple[int | None, Range | None]:
    """Return the number of selected items, and their forecast cost in dollars."""
    items = count(conn, job_id, selection, Keys(*config.source.redriven_keys()))
    return items, None if items is None else cost_of(items, list_costs(conn, job_id))


def require_note(note: str) -> None:
    """Check that a redrive has a reason.

    :raises ConfigError: it has none
    """
    if not note:
        raise ConfigError("note: it is empty; give the reason for the redrive in one line")


def _params(listing: Listing, job: str, selection: Selection, note: str) -> dict[str, Any]:
    """Return the params of the last run, with the selection in place of its other filters."""
    config = RunConfig.from_stored(listing.config)
    fields = {
        name: field
        for part in (config.source, config.calls, config.canary, config.approval)
        for name, field in type(part).model_fields.items()
    }
    # A manually triggered DAG run has no interval.
    reset = ["preview", "canary", "use_data_interval"]
    if selection.place is Place.QUARANTINE:
        # It lists nothing new, and its count and cost were shown before it was triggered.
        reset += ["approve", "approve_within_hours"]
        reset += [*config.source.filters, *config.source.key_filters]
    params = {name: value for name, value in listing.config.items() if name != _SOURCE_KIND}
    given = {name: fields[name].default for name in reset if name in fields}
    if selection.place is Place.SUCCESSES and params.get("use_data_interval"):
        # Otherwise it would also list and call items outside of all intervals.
        given |= {
            "modified_after": listing.since and listing.since.isoformat(),
            "modified_before": listing.until and listing.until.isoformat(),
        }
    return {**params, **given, **params_of(selection, note), "job": job}


def new_redrive(conn: Connection, job_id: int, config: RunConfig, asked_by: str) -> NewRedrive:
    """Return the redrive of a run that is being opened, with count and forecast.

    :raises ConfigError: it selects nothing
    """
    selection = config.redrive.selection
    if selection is None:
        raise ValueError("the run redrives nothing")
    items, cost = _evaluated(conn, job_id, config, selection)
    if items == 0:
        raise ConfigError(_nothing(config, selection))
    return NewRedrive(selection, config.redrive.redrive_note or "", asked_by, items, cost)


def _nothing(config: RunConfig, selection: Selection) -> str:
    where = "in quarantine" if selection.place is Place.QUARANTINE else "among the succeeded items"
    narrowed = [
        f"{name} {getattr(config.source, name)!r}"
        for name in config.source.key_filters
        if Keys(*config.source.redriven_keys()) != ALL_KEYS and getattr(config.source, name)
    ]
    narrowed_by = f", with {' and '.join(narrowed)}" if narrowed else ""
    return (
        f"redrive: nothing {where} of job {config.job_name!r} matches the selection"
        f" ({selection.text}{narrowed_by}), so no run is opened; see the job's page Quarantine for"
        " what there is"
    )
