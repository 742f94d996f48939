"""What the page of a run says in HTML."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from retrofill.functions.kind import Called
from retrofill.model.approval import Answer, Approval
from retrofill.model.report import Report
from retrofill.model.standing import Standing, standing_of
from retrofill.pipeline.controls import LIMITS
from retrofill.sources import reasons_of
from retrofill.state.pages import MOST_COUNTED, BatchLine, CallLine, RunPage, SetLine
from retrofill.web import links
from retrofill.web.charts import charts
from retrofill.web.rendering import LOOK_S, Shell, percent, render
from retrofill.web.words import COUNTS, EVENTS

_CALLED_AGAIN = ("failed", "unknown", "lost")

_LOOK_SHARE = 5
"""The next look waits this many times as long as this one took: looking costs the run little."""

_LONGEST_LOOK_S = 30

_PACE_AFTER_S = 5

FIRST_LIMITS = ("max_concurrency", "max_calls_per_second")
"""The limits that are changed most: the others are behind a fold."""


class Outlook(NamedTuple):
    """What a run will have done at its end, if it goes on as it did so far. None: unknown."""

    calls: int | None
    cost: float | None
    seconds: float | None
    """Seconds from the first slice of time in which it called."""

    seconds_so_far: float | None


class Progress(NamedTuple):
    """How far a run is with the items it knows of."""

    total: int
    succeeded: int
    quarantined: int

    @property
    def percent(self) -> str:
        """The share that is settled, never rounded up to a whole that it is not."""
        return percent(self.succeeded + self.quarantined, self.total)


def render_run(
    page: RunPage,
    *,
    dag_run_id: str,
    lives: bool,
    dag_paused: bool,
    may_change: bool,
    problem: str,
    approval_link: str,
    read_s: float,
    shell: Shell,
) -> str:
    """Return the page of a run.

    :param lives: whether Airflow has a DAG run of it queued or running
    :param dag_paused: whether Airflow begins no task of it, since its DAG is switched off
    :param may_change: whether the one who looks may change the run
    :param problem: what was wrong with what was asked for last; empty: nothing
    :param approval_link: where Airflow has a plan approved
    :param read_s: seconds that reading took, by which the next look is put off
    :param shell: what the page around it needs
    """
    report = page.report
    sets = {line.set_no: line for line in page.sets}
    total = report.new + report.resumed + report.redriven - report.withdrawn
    full = page.controls.limits.most_in_flight
    look_s = min(max(LOOK_S, math.ceil(read_s * _LOOK_SHARE)), _LONGEST_LOOK_S)
    return render(
        "run.html",
        shell,
        page=page,
        report=report,
        controls=page.controls,
        now=page.controls.read_at,
        standing=_standing(page, lives=lives, dag_paused=dag_paused),
        is_held=any(line.held for line in page.sets),
        progress=(progress := Progress(total, report.succeeded, report.quarantined)),
        outlook=_outlook(page, progress),
        charts=charts(page.slices, page.controls.age_s),
        log_of=lambda line: _log_of(sets, line),
        function_log=lambda call: links.function_log(
            page.controls.function, Called(call.request_id, call.sent_at, call.ended_at)
        ),
        events=EVENTS,
        most_counted=MOST_COUNTED,
        partitions_in_all=page.partitions[0].of if page.partitions else 0,
        left_s=_left_s(page, lives=lives and not dag_paused),
        in_flight=sum(ended.calls for ended in page.calls.ended if ended.outcome is None),
        most_in_flight=full,
        ramp=page.controls.ramp and page.controls.ramp.line(full),
        dag_run_id=dag_run_id,
        may_change=may_change,
        problem=problem,
        plan=page.controls.plan,
        approval=Approval.from_json(report.approval),
        approval_link=approval_link,
        look_s=look_s if page.controls.live else 0,
        counts=COUNTS,
        reasons=reasons_of(page.controls.source_kind),
        limits=LIMITS,
        first_limits=FIRST_LIMITS,
    )


def _outlook(page: RunPage, progress: Progress) -> Outlook:
    """Tell what will be at the end: more of the same, by the items that are left."""
    report = page.report
    done = report.succeeded + report.quarantined
    so_far = None
    if page.slices:
        last = page.slices[-1]
        until = page.controls.age_s if report.status == "open" else last.second + last.seconds
        so_far = max(until - page.slices[0].second, 0.0)
    if report.status != "open":
        return Outlook(report.calls, report.cost, so_far, so_far)
    if not done or report.partitions_left or not page.partitions:
        return Outlook(None, None, None, so_far)
    times = max(progress.total / done, 1.0)
    return Outlook(
        round(report.calls * times),
        None if report.cost is None else report.cost * times,
        None if so_far is None else so_far * times,
        so_far,
    )


def _log_of(sets: Mapping[int, SetLine], line: BatchLine | CallLine) -> str:
    """Return where Airflow has the log of the task of a batch; empty: nobody can tell."""
    found = sets.get(line.set_no)
    if found is None:
        return ""
    return links.task_log(found.dag_id, found.dag_run_id, line.task_id, line.map_index)


def _standing(page: RunPage, *, lives: bool, dag_paused: bool = False) -> Standing:
    """Return in one word how a run is."""
    return standing_of(
        page.report.status,
        unapproved=_waits(page.report),
        stopping=bool(page.report.stop_reason),
        paused=page.controls.limits.paused,
        active=lives or any(line.held for line in page.sets),
        dag_paused=dag_paused,
    )


def _waits(report: Report) -> bool:
    approval = Approval.from_json(report.approval)
    return approval is not None and approval.status is Answer.WAITING


def _left_s(page: RunPage, *, lives: bool) -> float | None:
    """Return how long the set at work may still take at its pace; None: nobody can tell."""
    if _standing(page, lives=lives) != "open" or not page.sets or not page.sets[-1].held:
        return None
    line = page.sets[-1]
    again = sum(ended.items or 0 for ended in page.calls.ended if ended.outcome in _CALLED_AGAIN)
    # What is left may be items that fail alone: they keep to no pace.
    if again >= line.items - line.succeeded - line.quarantined:
        return None
    return _set_left_s(line, page.controls.read_at)


def _set_left_s(line: SetLine, now: datetime) -> float | None:
    done = line.succeeded + line.quarantined
    if line.planned_at is None or not 0 < done < line.items:
        return None
    passed_s = (now - line.planned_at).total_seconds()
    return passed_s * (line.items - done) / done if passed_s > _PACE_AFTER_S else None
