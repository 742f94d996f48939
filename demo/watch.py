"""Wait for a run, and show its progress."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from demo.runs import RunCounts, RunView
from stack.airflow_api import AirflowApi

_LOOK_EVERY_S = 0.25
_ASK_AIRFLOW_EVERY_S = 1.0
_MAY_STAND_STILL_S = 240
_ENDS = {"success", "failed"}


class RunFailedError(Exception):
    """A run failed, or made no progress; the message has what is known of it."""


class Watcher:
    """Follows runs of one DAG and one job.

    :param console: where to show the progress
    """

    def __init__(
        self, console: Console, airflow: AirflowApi, view: RunView, dag_id: str, job: str
    ) -> None:
        self._console = console
        self._airflow = airflow
        self._view = view
        self._dag_id = dag_id
        self._job = job

    def follow(self, dag_run_id: str, number: int) -> RunCounts:
        """Wait until a DAG run has ended; return its counts.

        :param number: which run of the job it is; the first is 1
        :raises RunFailedError: it failed, or nothing has changed for long
        """
        columns = (
            TextColumn("  {task.fields[what]:<24}"),
            BarColumn(bar_width=34),
            TextColumn("{task.fields[count]:>22}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("", total=None, what="the scheduler takes it up", count="")
            state, counts = self._until_end(progress, bar, dag_run_id, number)
        if state == "failed":
            raise RunFailedError("\n".join(self._reasons(dag_run_id, "failed")))
        if counts is None:
            raise RunFailedError(f"the DAG run succeeded, but v_run has no run {number} of the job")
        return counts

    def _until_end(
        self, progress: Progress, bar: TaskID, dag_run_id: str, number: int
    ) -> tuple[str, RunCounts | None]:
        state, seen = "queued", None
        asked_at = moved_at = time.monotonic()
        while True:
            now = time.monotonic()
            before = state, seen
            if now - asked_at > _ASK_AIRFLOW_EVERY_S:
                state, asked_at = self._airflow.run_state(self._dag_id, dag_run_id), now
            # Read after the state: the counts of an ended run are final.
            seen = dict(enumerate(self._view.of_job(self._job), 1)).get(number)
            ended = state in _ENDS
            _show(progress, bar, seen, ended=ended)
            if ended:
                return state, seen
            if (state, seen) != before:
                moved_at = now
            elif now - moved_at > _MAY_STAND_STILL_S:
                what = f"has not moved for {_MAY_STAND_STILL_S} s and is {state}"
                raise RunFailedError("\n".join(self._reasons(dag_run_id, what)))
            time.sleep(_LOOK_EVERY_S)

    def _reasons(self, dag_run_id: str, what: str) -> list[str]:
        failures = self._airflow.failures(self._dag_id, dag_run_id)
        return [f"the DAG run {dag_run_id} {what}", *failures]


def _show(progress: Progress, bar: TaskID, counts: RunCounts | None, *, ended: bool) -> None:
    if counts is None:
        return
    done = counts.succeeded + counts.quarantined
    count = f"{done:,} of {counts.new:,} new objects"
    if ended:
        total = counts.new or 1
        completed = done if counts.new else total
        progress.update(bar, what=counts.status, count=count, total=total, completed=completed)
    elif not counts.all_listed:
        progress.update(bar, what="listing the bucket", count=f"{counts.listed:,} listed")
    elif done < counts.new:
        what = "calling the function"
        progress.update(bar, what=what, count=count, total=counts.new, completed=done)
    else:
        progress.update(bar, what="closing, notifying", count=count, total=None)
