"""Watch a run until it is closed, with a progress bar on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from retrofill.cli.output import print_json, say
from retrofill.model.amounts import counted
from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.report import Report
from retrofill.state import runs
from retrofill.state.connection import Connection

POLL_S = 2.0
"""Seconds between two reads of a run."""

_SAY_S = 10.0
"""Seconds between two lines if stderr is not a terminal and the status stays the same."""

Show = Callable[[Report], None]


def watch(
    conn: Connection, run_id: int, *, as_json: bool, is_active: Callable[[], bool] = lambda: True
) -> None:
    """Show the progress of a run until it is closed, or no longer active.

    :param as_json: print one JSON object per read instead of a progress bar
    :param is_active: whether anything may still work on the run; called once per read
    """
    with _showing(as_json=as_json) as show:
        while True:
            active = is_active()
            report = runs.get_report(conn, run_id)
            show(report)
            if report.status != "open" or not active:
                return
            time.sleep(POLL_S)


def status_text(report: Report) -> str:
    """Return the status of a run in a few words."""
    if report.status != "open":
        return report.status
    approval = Approval.from_json_if_any(report.approval)
    if approval is not None and approval.status is ApprovalStatus.WAITING:
        return approval.text
    return f"stopping: {report.stop_reason}" if report.stop_reason else report.status


def line(report: Report) -> str:
    """Return the progress of a run in one line."""
    said = [
        f"{report.settled:,} of {counted(report.total, 'item')}",
        counted(report.calls, "call"),
    ]
    if report.partitions_left:
        said.append(f"{counted(report.partitions_left, 'partition')} to list")
    if report.quarantined:
        said.append(f"{report.quarantined:,} in quarantine")
    return f"run {report.run_id} ({report.job}): {status_text(report)}; {', '.join(said)}"


@contextmanager
def _showing(*, as_json: bool) -> Iterator[Show]:
    if as_json:
        yield lambda report: print_json(report.as_json(), indent=None)
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        yield lambda report: progress.update(
            task,
            total=report.total or None,
            completed=report.settled,
            description=line(report),
        )


def _lines() -> Show:
    """Return a function that prints a line when the status changes, and rarely otherwise."""
    said, at = "", 0.0

    def show(report: Report) -> None:
        nonlocal said, at
        now, new = time.monotonic(), status_text(report)
        if new != said or now - at >= _SAY_S:
            said, at = new, now
            say(line(report))

    return show
