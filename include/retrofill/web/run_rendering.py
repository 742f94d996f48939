"""What the page of a run says in HTML."""

import math
from datetime import datetime
from typing import NamedTuple

from retrofill.model.approval import Answer, Approval
from retrofill.model.report import Report
from retrofill.model.standing import Standing, standing_of
from retrofill.pipeline.controls import LIMITS
from retrofill.sources import reasons_of
from retrofill.state.pages import RunPage, SetLine
from retrofill.web.rendering import LOOK_S, Shell, percent, render
from retrofill.web.words import COUNTS

_CALLED_AGAIN = ("failed", "unknown", "lost")

_LOOK_SHARE = 5
"""The next look waits this many times as long as this one took: looking costs the run little."""

_LONGEST_LOOK_S = 30

_PACE_AFTER_S = 5


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
        progress=Progress(total, report.succeeded, report.quarantined),
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
        limits=(LIMITS["max_concurrency"], LIMITS["max_calls_per_second"]),
    )


def _standing(page: RunPage, *, lives: bool, dag_paused: bool = False) -> Standing:
    """Return in one word how a run is."""
    return standing_of(
        page.report.state,
        unapproved=_waits(page.report),
        stopping=bool(page.report.stop_reason),
        paused=page.controls.limits.paused,
        at_work=lives or any(line.held for line in page.sets),
        dag_paused=dag_paused,
    )


def _waits(report: Report) -> bool:
    approval = Approval.from_json(report.approval)
    return approval is not None and approval.state is Answer.WAITING


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
