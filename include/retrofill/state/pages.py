"""The page of a run, read in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from retrofill.engine.ramp import Ramp
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.pulse import Slice
from retrofill.model.report import Report
from retrofill.state.allotting import describe_part
from retrofill.state.connection import (
    Connection,
    Cursor,
    Record,
    one,
    read_by_index,
    rows,
    snapshot,
)
from retrofill.state.events import Event, list_events
from retrofill.state.pulse import list_slices
from retrofill.state.runs import read_report
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
    """The settings of a run that its tasks check every second, and when they were read."""

    limits: Limits
    source_kind: str
    read_at: datetime
    live: bool
    """Whether the run may still change."""

    job_id: int
    function: Pinned
    age_s: float
    """Seconds since it was opened, or until it was closed, without the time that it waited."""

    refused_since: datetime | None = None
    """Since when every call of the run was refused; None: one was let through."""

    refusal: str | None = None
    """The last refusal."""

    plan: RunPlan | None = None
    """The plan of the first set; None: none was requested, or it is not ready."""

    ramp: Ramp | None = None
    """The progress of its ramp; None: it has none, or no task has asked for a share yet."""


class OutcomeLine(NamedTuple):
    """The calls with one outcome and cause."""

    outcome: str | None
    """None: not settled yet."""

    calls: int
    items: int | None
    """Items that they carried; None: not counted yet."""

    cause: str = ""


class CallLine(NamedTuple):
    """One call; texts are cut to ERROR_CHARS."""

    batch_id: int
    call_no: int
    items: int
    attempt: int
    outcome: str | None
    sent_at: datetime
    ended_at: datetime | None
    took_s: float
    """Seconds from sending to settling, or until now."""

    request_id: str
    error_type: str | None
    error: str | None
    set_no: int
    task_id: str
    """The task that made it, or that took over its batch; empty: unknown."""

    map_index: int
    keys: list[str] | None
    """The keys of its first items, if it did not succeed; None: not recorded."""


class BatchLine(NamedTuple):
    """A batch, the task that has or had it, and its progress."""

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
    in_flight: int
    """Calls in flight when its holder last asked for a share."""

    lost_tasks: int
    of: int
    """The number of batches of the run."""


class Calls(NamedTuple):
    """The calls of a run."""

    ended: list[OutcomeLine]
    failed: list[CallLine]
    """The last CALLS_SHOWN calls that did not succeed, the newest first."""

    slowest: list[CallLine]
    """The CALLS_SHOWN slowest calls, the slowest first."""


class QuarantinedLine(NamedTuple):
    """An item in quarantine; texts are cut to ERROR_CHARS."""

    key: str
    content: str
    attempts: int
    failures: int
    request_id: str
    error_type: str
    error: str
    quarantined_at: datetime
    of: int
    """The number of the run's items in quarantine, counted up to MOST_COUNTED + 1."""


class PartitionLine(NamedTuple):
    """A partition, and how far it was listed."""

    part_no: int
    label: str
    listed: int
    new: int
    known: int
    done: bool
    of: int
    """The number of partitions of the run."""


class SetLine(NamedTuple):
    """A set, and the counts of its batches."""

    set_no: int
    dag_id: str
    dag_run_id: str
    items_taken: int
    max_items: int
    resumed: int
    batches: int
    batches_done: int
    items: int
    succeeded: int
    quarantined: int
    held: int
    """Batches that a task holds now."""

    opened_at: datetime
    planned_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Everything that the page of a run shows, from one snapshot."""

    report: Report
    controls: Controls
    calls: Calls

    quarantined: list[QuarantinedLine]
    """The first ITEMS_SHOWN, by key."""

    partitions: list[PartitionLine]
    """The first PARTITIONS_SHOWN, unfinished ones first."""

    sets: list[SetLine]
    batches: list[BatchLine]
    """The first BATCHES_SHOWN: held ones first, then waiting ones, then finished ones."""

    events: list[Event]
    """The last EVENTS_SHOWN, the newest first."""

    slices: list[Slice]
    part: str | None = None
    """Its part of the function's shared cap; None: it shares none."""


def get_page(conn: Connection, run_id: int) -> RunPage:
    """Return the page of a run, from one snapshot, so that its numbers agree.

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
            plan=lambda stored: RunPlan.from_json(stored) if stored else None,
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
            part=describe_part(cur, run_id) if controls.limits.function_concurrency else None,
        )


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
