"""The values that the page of a run shows."""

import math
from functools import partial
from typing import Any, NamedTuple

from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.status import Status, status_of
from retrofill.pipeline.controls import LIMITS
from retrofill.sources import reasons_of
from retrofill.state.pages import MOST_COUNTED, BatchLine, CallLine, RunPage
from retrofill.web import links
from retrofill.web.charts import charts
from retrofill.web.rendering import REFRESH_S
from retrofill.web.words import COUNTS, EVENTS

_CALLED_AGAIN = ("failed", "unknown", "lost")

_READS_PER_REFRESH = 5
"""A refresh waits for this many times the duration of the last read, to cost the run little."""

_LONGEST_REFRESH_S = 30

_PACE_AFTER_S = 5

FIRST_LIMITS = ("max_concurrency", "max_calls_per_second")
"""The limits that are changed most; the page folds the others."""


class Outlook(NamedTuple):
    """What the calls of an open run will have taken at its end, at its pace so far."""

    calls: int | None
    """None, here and below: unknown."""

    cost: float | None
    seconds: float | None
    """Seconds since its first slice."""

    seconds_so_far: float | None


def refresh_interval_s(page: RunPage, read_s: float) -> int:
    """Return the seconds until the page of a run reads itself again; 0: never.

    :param read_s: seconds that reading the page took
    """
    if not page.controls.live:
        return 0
    return min(max(REFRESH_S, math.ceil(read_s * _READS_PER_REFRESH)), _LONGEST_REFRESH_S)


def values_of_run(page: RunPage, *, active: bool, dag_paused: bool) -> dict[str, Any]:
    """Return the values for the template ``run.html``.

    :param active: whether one of the run's DAG runs is queued or running
    """
    report, controls = page.report, page.controls
    approval = Approval.from_json_if_any(report.approval)
    is_held = any(line.held for line in page.sets)
    most_in_flight = controls.limits.most_in_flight
    status = partial(
        status_of,
        report.status,
        unapproved=approval is not None and approval.status is ApprovalStatus.WAITING,
        stopping=bool(report.stop_reason),
        paused=controls.limits.paused,
        active=active or is_held,
    )
    return {
        "page": page,
        "report": report,
        "controls": controls,
        "now": controls.read_at,
        "status": status(dag_paused=dag_paused),
        "is_held": is_held,
        "outlook": _outlook(page),
        "charts": charts(page.slices, controls.age_s),
        "log_of": partial(_log_of, page),
        "events": EVENTS,
        "most_counted": MOST_COUNTED,
        "partitions_in_all": page.partitions[0].of if page.partitions else 0,
        # Active tasks continue while the DAG is paused.
        "left_s": _left_s(page) if status(dag_paused=False) is Status.OPEN else None,
        "in_flight": sum(ended.calls for ended in page.calls.ended if ended.outcome is None),
        "most_in_flight": most_in_flight,
        "ramp": controls.ramp and controls.ramp.line(most_in_flight),
        "plan": controls.plan,
        "approval": approval,
        "counts": COUNTS,
        "reasons": reasons_of(controls.source_kind),
        "limits": LIMITS,
        "first_limits": FIRST_LIMITS,
    }


def _outlook(page: RunPage) -> Outlook:
    """Return the outlook: the items that are left go like those that are settled."""
    report, so_far = page.report, None
    is_open = report.status == "open"
    if page.slices:
        last = page.slices[-1]
        until = page.controls.age_s if is_open else last.second + last.seconds
        so_far = max(until - page.slices[0].second, 0.0)
    if not (is_open and report.settled and page.partitions) or report.partitions_left:
        return Outlook(None, None, None, so_far)
    times = max(report.total / report.settled, 1.0)
    return Outlook(
        round(report.calls * times),
        None if report.cost is None else report.cost * times,
        None if so_far is None else so_far * times,
        so_far,
    )


def _log_of(page: RunPage, line: BatchLine | CallLine) -> str:
    """Return the address of the log of a batch's task in Airflow; empty: unknown."""
    for found in page.sets:
        if found.set_no == line.set_no:
            return links.task_log(found.dag_id, found.dag_run_id, line.task_id, line.map_index)
    return ""


def _left_s(page: RunPage) -> float | None:
    """Return the estimated seconds until the active set ends, at its pace; None: unknown."""
    line = page.sets[-1] if page.sets else None
    if line is None or not line.held or line.planned_at is None:
        return None
    done = line.succeeded + line.quarantined
    left = line.items - done
    called_again = sum(
        ended.items or 0 for ended in page.calls.ended if ended.outcome in _CALLED_AGAIN
    )
    # If all items that are left may be failing ones, they keep no pace.
    if not done or called_again >= left:
        return None
    passed_s = (page.controls.read_at - line.planned_at).total_seconds()
    return passed_s * left / done if passed_s > _PACE_AFTER_S else None
