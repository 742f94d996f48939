"""Wait for a run, and show its progress."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from demo.runs import RunCounts
from stack.airflow_api import AirflowApi

_LOOK_EVERY_S = 0.5
_STUCK_AFTER_S = 240
_ENDS = {"success", "failed"}


class RunFailedError(Exception):
    """A run failed, or made no progress; the message has the logs of its failed tasks."""


def follow(
    console: Console,
    airflow: AirflowApi,
    dag_id: str,
    dag_run_id: str,
    read: Callable[[], RunCounts | None],
) -> RunCounts:
    """Wait until a DAG run has ended; return the counts of its run.

    :param read: returns the counts; None if there is no run yet
    :raises RunFailedError: it failed, or nothing has changed for long
    """

    def failed(what: str) -> RunFailedError:
        failures = airflow.failures(dag_id, dag_run_id)
        return RunFailedError("\n".join([f"the DAG run {dag_run_id} {what}", *failures]))

    columns = (
        TextColumn("  {task.fields[what]:<24}"),
        BarColumn(bar_width=34),
        TextColumn("{task.fields[count]:>22}"),
        TimeElapsedColumn(),
    )
    state, counts, changed_at = "queued", None, time.monotonic()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, what="waiting for the scheduler", count="")
        while state not in _ENDS:
            before = state, counts
            # In this order: the counts of an ended run are final.
            state, counts = airflow.run_state(dag_id, dag_run_id), read()
            if counts:
                progress.update(bar, **_shown(counts, ended=state in _ENDS))
            if (state, counts) != before:
                changed_at = time.monotonic()
            elif time.monotonic() - changed_at > _STUCK_AFTER_S:
                raise failed(f"is {state} and has not changed for {_STUCK_AFTER_S} s")
            time.sleep(_LOOK_EVERY_S)
    if state == "failed":
        raise failed("failed")
    if counts is None:
        raise RunFailedError(f"the DAG run {dag_run_id} succeeded, but v_run has no run of it")
    return counts


def _shown(counts: RunCounts, *, ended: bool) -> dict[str, Any]:
    done = counts.succeeded + counts.quarantined
    count = f"{done:,} of {counts.new:,} new objects"
    if ended:
        total = counts.new or 1
        return {"what": counts.status, "count": count, "total": total, "completed": done or total}
    if not counts.all_listed:
        return {"what": "listing the bucket", "count": f"{counts.listed:,} listed"}
    if done < counts.new:
        what = "calling the function"
        return {"what": what, "count": count, "total": counts.new, "completed": done}
    return {"what": "closing, notifying", "count": count, "total": None}
