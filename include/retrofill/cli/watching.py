"""Watching a run until it is closed, with a progress bar that lives."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from retrofill.cli.output import print_json_line, say
from retrofill.model.amounts import counted
from retrofill.model.approval import Answer, Approval
from retrofill.model.report import Report
from retrofill.state import runs
from retrofill.state.connection import Connection

LOOK_S = 2.0
"""Seconds between two looks at a run."""

_SAY_S = 10.0
"""Seconds between two lines where there is no terminal."""

Show = Callable[[Report], None]


def watch(
    conn: Connection, run_id: int, *, as_json: bool, lives: Callable[[], bool] = lambda: True
) -> Report:
    """Show a run, look by look, until it is closed or has no life left.

    :param as_json: print one JSON object a look, in place of a progress bar
    :param lives: whether anything may still work on it; asked once a look
    """
    with _showing(as_json=as_json) as show:
        while True:
            alive = lives()
            report = runs.get_report(conn, run_id)
            show(report)
            if report.status != "open" or not alive:
                return report
            time.sleep(LOOK_S)


def standing(report: Report) -> str:
    """Return in some words how a run is."""
    if report.status != "open":
        return report.status
    approval = Approval.from_json(report.approval)
    if approval is not None and approval.status is Answer.WAITING:
        return f"{approval.said}"
    return f"stopping: {report.stop_reason}" if report.stop_reason else report.status


def line(report: Report) -> str:
    """Return a run in one line."""
    said = [
        f"{report.settled:,} of {counted(report.total, 'item')}",
        counted(report.calls, "call"),
    ]
    if report.partitions_left:
        said.append(f"{counted(report.partitions_left, 'partition')} to list")
    if report.quarantined:
        said.append(f"{report.quarantined:,} in quarantine")
    return f"run {report.run_id} ({report.job}): {standing(report)}; {', '.join(said)}"


@contextmanager
def _showing(*, as_json: bool) -> Iterator[Show]:
    if as_json:
        yield lambda report: print_json_line(report.as_json())
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")

        def show(report: Report) -> None:
            total = report.total or None
            progress.update(task, total=total, completed=report.settled, description=line(report))

        yield show


def _lines() -> Show:
    """Return what says how a run is: at once when that has changed, else rarely."""
    said, at = "", 0.0

    def show(report: Report) -> None:
        nonlocal said, at
        now, new = time.monotonic(), standing(report)
        if new != said or now - at >= _SAY_S:
            said, at = new, now
            say(line(report))

    return show
