"""What the page of a run shows, read in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.errors import QueryCanceled

from retrofill.engine.ramp import Ramp
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.report import Report
from retrofill.state.connection import Connection, Cursor, Record, one, rows
from retrofill.state.reading import snapshot
from retrofill.state.runs import read_report
from retrofill.state.sharing import say_part
from retrofill.state.statements import load

_SQL = load("pages.sql")

CALLS_SHOWN = 10
ITEMS_SHOWN = 50
PARTITIONS_SHOWN = 200
ERROR_CHARS = 300


class Controls(NamedTuple):
    """What running tasks read every second, and when it was read."""

    limits: Limits
    source_kind: str
    read_at: datetime
    live: bool
    """Whether the run may still change."""

    job_id: int

    refused_since: datetime | None = None
    """Since when every call of the run has been refused; None: one was let through just now."""

    refusal: str | None = None
    """The last refusal."""

    plan: RunPlan | None = None
    """What the first set would do; None: nobody asked for a plan, or it is not made yet."""

    ramp: Ramp | None = None
    """How far it has come up its ramp; None: it has none, or no task has asked yet."""


class OutcomeLine(NamedTuple):
    """The calls that ended one way."""

    outcome: str | None
    """None: not settled yet."""

    calls: int
    items: int | None
    """Items that they carried; None: nobody has counted them."""

    cause: str = ""


class CallLine(NamedTuple):
    """One call, its texts cut to ERROR_CHARS."""

    batch_id: int
    call_no: int
    items: int
    attempt: int
    outcome: str | None
    sent_at: datetime
    took_s: float
    """Seconds from sending to settling; until now if it is not settled yet."""

    request_id: str
    error_type: str | None
    error: str | None


class Calls(NamedTuple):
    """The calls of a run."""

    ended: list[OutcomeLine]
    failed: list[CallLine] | None
    """The last CALLS_SHOWN that did not succeed, the newest first; None: it takes too long."""

    slowest: list[CallLine] | None
    """The CALLS_SHOWN that took longest, the slowest first; None: it takes too long."""


class QuarantinedLine(NamedTuple):
    """An item that waits for a person, its texts cut to ERROR_CHARS."""

    key: str
    content: str
    attempts: int
    failures: int
    request_id: str
    error_type: str
    error: str
    quarantined_at: datetime
    of: int
    """How many items of the run wait in all."""


class PartitionLine(NamedTuple):
    """A partition, and how far it was read."""

    part_no: int
    label: str
    listed: int
    new: int
    known: int
    done: bool
    of: int
    """How many partitions the run has in all."""


class SetLine(NamedTuple):
    """A set, and what its batches did."""

    set_no: int
    dag_run_id: str
    items_taken: int
    max_items: int
    resumed: int
    batches: int
    batches_done: int
    items: int
    """Items of its batches."""

    succeeded: int
    quarantined: int
    held: int
    """Batches that a task holds now."""

    opened_at: datetime
    planned_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """All that the page of a run shows, as it stood at one moment."""

    report: Report
    controls: Controls
    calls: Calls

    quarantined: list[QuarantinedLine]
    """The first ITEMS_SHOWN by their keys."""

    partitions: list[PartitionLine]
    """The first PARTITIONS_SHOWN, those that are not done before those that are."""

    sets: list[SetLine]

    part: str | None = None
    """Its part of what runs of the function share; None: it shares nothing."""


def get_page(conn: Connection, run_id: int) -> RunPage:
    """Return what the page of a run shows, read in one snapshot so that its numbers agree.

    :raises NoSuchRun: there is no such run
    """
    limits = {
        "run_id": run_id,
        "calls": CALLS_SHOWN,
        "items": ITEMS_SHOWN,
        "partitions": PARTITIONS_SHOWN,
        "error_chars": ERROR_CHARS,
    }
    with snapshot(conn) as cur:
        report = read_report(cur, run_id)
        cur.execute(_SQL["get_controls"], limits)
        controls = one(cur, Controls, limits=Limits.from_json, plan=_plan, ramp=Ramp.from_json)
        return RunPage(
            report=report,
            controls=controls,
            calls=_calls(cur, limits, report),
            quarantined=_lines(cur, "list_quarantined", limits, QuarantinedLine),
            partitions=_lines(cur, "list_partitions", limits, PartitionLine),
            sets=_lines(cur, "list_sets", limits, SetLine),
            part=say_part(cur, run_id) if controls.limits.function_concurrency else None,
        )


def _plan(stored: Mapping[str, Any] | None) -> RunPlan | None:
    return RunPlan.from_json(stored) if stored else None


def _calls(cur: Cursor, limits: Mapping[str, int], report: Report) -> Calls:
    ended = _lines(cur, "count_calls", limits, OutcomeLine)
    in_flight = report.calls - sum(line.calls for line in ended)
    if in_flight > 0 and report.state == "open":
        ended.append(OutcomeLine(None, in_flight, None))
    # Only these statements read as many rows as there are calls: the rest of the page must not
    # fail with them.
    cur.execute(_SQL["guard_calls"])
    try:
        failed = _lines(cur, "list_failed_calls", limits, CallLine)
        slowest = _lines(cur, "list_slowest_calls", limits, CallLine)
    except QueryCanceled:
        cur.execute(_SQL["give_up_calls"])
        return Calls(ended, None, None)
    return Calls(ended, failed, slowest)


def _lines(
    cur: Cursor, statement: str, limits: Mapping[str, int], record: type[Record]
) -> list[Record]:
    cur.execute(_SQL[statement], limits)
    return rows(cur, record)
