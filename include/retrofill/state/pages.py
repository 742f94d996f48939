"""What the page of a run shows, read in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.engine.ramp import Ramp
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.pulse import Slice
from retrofill.model.report import Report
from retrofill.state.connection import Connection, Cursor, Record, one, rows
from retrofill.state.events import Event, list_events
from retrofill.state.pulse import list_slices
from retrofill.state.reading import read_by_index, snapshot
from retrofill.state.runs import read_report
from retrofill.state.sharing import say_part
from retrofill.state.statements import load

_SQL = load("pages.sql")

BATCHES_SHOWN = 20
CALLS_SHOWN = 10
EVENTS_SHOWN = 50
ITEMS_SHOWN = 50
PARTITIONS_SHOWN = 200
MOST_COUNTED = 10_000
ERROR_CHARS = 300


class Controls(NamedTuple):
    """What running tasks read every second, and when it was read."""

    limits: Limits
    source_kind: str
    read_at: datetime
    live: bool
    """Whether the run may still change."""

    job_id: int
    function: Pinned
    age_s: float
    """Seconds since it was opened, until it was closed, but for those in which it waited."""

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
    ended_at: datetime | None
    took_s: float
    """Seconds from sending to settling; until now if it is not settled yet."""

    request_id: str
    error_type: str | None
    error: str | None
    set_no: int
    task_id: str
    """The task that made it, or took its batch over; empty: it has no name."""

    map_index: int
    keys: list[str] | None
    """Of the first items that it carried, if it did not succeed; None: nobody has told."""


class BatchLine(NamedTuple):
    """A batch, the task that has or had it, and how far it is."""

    batch_id: int
    set_no: int
    canary: bool
    task_id: str
    map_index: int
    items: int
    succeeded: int
    quarantined: int
    calls: int
    calls_succeeded: int
    done: bool
    held: bool
    """Whether a task holds it now."""

    in_flight: int
    """Calls in flight when its holder last told."""

    lost_tasks: int
    of: int
    """How many batches the run has in all."""


class Calls(NamedTuple):
    """The calls of a run."""

    ended: list[OutcomeLine]
    failed: list[CallLine]
    """The last CALLS_SHOWN that did not succeed, the newest first."""

    slowest: list[CallLine]
    """The CALLS_SHOWN that took longest, the slowest first."""


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
    """How many items of the run wait in all; no more than MOST_COUNTED + 1 are counted."""


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
    dag_id: str
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
    batches: list[BatchLine]
    """The first BATCHES_SHOWN: those at work, those that are left, those that are done."""

    events: list[Event]
    """The last EVENTS_SHOWN, the newest first."""

    slices: list[Slice]
    """What its calls did over time."""

    part: str | None = None
    """Its part of what runs of the function share; None: it shares nothing."""


def get_page(conn: Connection, run_id: int) -> RunPage:
    """Return what the page of a run shows, read in one snapshot so that its numbers agree.

    :raises NoSuchRun: there is no such run
    """
    limits = {
        "run_id": run_id,
        "batches": BATCHES_SHOWN,
        "calls": CALLS_SHOWN,
        "items": ITEMS_SHOWN,
        "most": MOST_COUNTED + 1,
        "partitions": PARTITIONS_SHOWN,
        "error_chars": ERROR_CHARS,
    }
    with snapshot(conn) as cur:
        report = read_report(cur, run_id)
        cur.execute(_SQL["get_controls"], limits)
        controls = one(
            cur,
            Controls,
            limits=Limits.from_json,
            function=Pinned.from_json,
            plan=_plan,
            ramp=Ramp.from_json_if_any,
        )
        calls = _calls(cur, limits, report)
        read_by_index(cur)
        return RunPage(
            report=report,
            controls=controls,
            calls=calls,
            quarantined=_lines(cur, "list_quarantined", limits, QuarantinedLine),
            partitions=_lines(cur, "list_partitions", limits, PartitionLine),
            sets=_lines(cur, "list_sets", limits, SetLine),
            batches=_lines(cur, "list_batches", limits, BatchLine),
            events=list_events(cur, run_id, EVENTS_SHOWN),
            slices=list_slices(cur, run_id),
            part=say_part(cur, run_id) if controls.limits.function_concurrency else None,
        )


def _plan(stored: Mapping[str, Any] | None) -> RunPlan | None:
    return RunPlan.from_json(stored) if stored else None


def _calls(cur: Cursor, limits: Mapping[str, int], report: Report) -> Calls:
    ended = _lines(cur, "count_calls", limits, OutcomeLine)
    in_flight = report.calls - sum(line.calls for line in ended)
    if in_flight > 0 and report.status == "open":
        ended.append(OutcomeLine(None, in_flight, None))
    failed = _lines(cur, "list_failed_calls", limits, CallLine)
    return Calls(ended, failed, _lines(cur, "list_slowest_calls", limits, CallLine))


def _lines(
    cur: Cursor, statement: str, limits: Mapping[str, int], record: type[Record]
) -> list[Record]:
    cur.execute(_SQL[statement], limits)
    return rows(cur, record)
