"""Commands that show jobs and runs; they do not need Airflow."""

from typing import Annotated

import typer

from retrofill.cli.exits import Exit
from retrofill.cli.output import Json, print_json, print_records, print_text
from retrofill.cli.state import find_job, open_state
from retrofill.cli.watching import status_text, watch
from retrofill.model.approval import ApprovalStatus
from retrofill.model.cost import dollars
from retrofill.model.needs import needs_of, urgency
from retrofill.model.records import as_json as json_of
from retrofill.model.report import Report
from retrofill.model.status import status_of
from retrofill.state import pages
from retrofill.state.jobs import CountedJob, JobLine, counted, list_jobs
from retrofill.state.listing import list_runs

RunNumber = Annotated[int, typer.Argument(metavar="RUN", help="The number of the run.")]

_RUNS = 20


def jobs(
    search: Annotated[
        str, typer.Argument(help="Text in the name, source or function. Left out: all jobs.")
    ] = "",
    *,
    as_json: Json = False,
) -> None:
    """List jobs, those that need attention first.

    Each is shown with its open run or, if none is open, its latest.
    """
    with open_state() as conn:
        lines = list_jobs(conn, search=search).lines
        found = counted(conn, sorted(lines, key=lambda line: urgency(_needs(line))))
    print_records(
        found,
        {
            "job": lambda one: one.job.job,
            "source": lambda one: one.job.source,
            "run": lambda one: one.job.run_id,
            "status": lambda one: one.job.status or "never run",
            "settled": _settled,
            "quarantine": lambda one: one.counts.in_quarantine,
            "cost": _cost,
            "needs you": lambda one: "; ".join(_needs(one.job)),
        },
        as_json=as_json,
    )


def _settled(one: CountedJob) -> str:
    return f"{one.counts.succeeded + one.counts.quarantined:,} of {one.counts.total:,}"


def _cost(one: CountedJob) -> str:
    cost = one.counts.cost_in_all
    return "unknown" if cost is None else dollars(cost)


def runs(
    job: Annotated[
        str | None, typer.Argument(help="The name of a job. Left out: all jobs.")
    ] = None,
    *,
    before: Annotated[
        int | None, typer.Option(metavar="RUN", help="List only runs older than this one.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=1_000, help="The most runs to list.")] = _RUNS,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with open_state() as conn:
        job_id = None if job is None else find_job(conn, job)
        found = list_runs(conn, job_id=job_id, before=before, most=most)
    print_records(
        found,
        {
            "run": lambda run: run.run_id,
            "job": lambda run: run.job,
            "status": status_text,
            "found": lambda run: run.total,
            "settled": lambda run: run.settled,
            "quarantined": lambda run: run.quarantined,
            "calls": lambda run: run.calls,
            "opened": lambda run: run.opened_at,
        },
        as_json=as_json,
    )


def status(
    run: RunNumber,
    *,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show the progress until the run is closed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a run.

    With --watch and --json, it prints a line of JSON every 2 seconds. Exit code 1: the run is not
    complete.
    """
    with open_state() as conn:
        if follow:
            watch(conn, run, as_json=as_json)
        page = pages.get_page(conn, run)
    if not as_json:
        print_report(page)
    elif not follow:
        print_json(json_of(page))
    end(page.report)


def _needs(job: JobLine) -> tuple[str, ...]:
    """Return why a job needs attention, as far as the state knows without Airflow."""
    status = None
    if job.status is not None:
        status = status_of(
            job.status,
            unapproved=job.approval == ApprovalStatus.WAITING,
            stopping=job.stop_reason is not None,
            paused=bool(job.paused),
            active=True,
        )
    return needs_of(status, quarantines=job.quarantines, is_off=False)


def print_report(page: pages.RunPage) -> None:
    """Print the report of a run, as in its notification."""
    # It imports all kinds of sources, for their texts.
    from retrofill.sources import reasons_of  # noqa: PLC0415

    print_text(page.report.as_text(reasons_of(page.controls.source_kind)))


def end(report: Report) -> None:
    """End the command with the exit code for a run."""
    raise typer.Exit(Exit.DONE if report.status == "complete" else Exit.INCOMPLETE)
