"""Commands that look: at jobs, runs, items and quarantine; they need no Airflow."""

from typing import Annotated

import typer

from retrofill.cli.exits import Exit
from retrofill.cli.output import Json, print_json, print_table, print_text
from retrofill.cli.state import find_job, open_state
from retrofill.cli.watching import standing, watch
from retrofill.model.approval import Answer
from retrofill.model.cost import dollars
from retrofill.model.needs import needs_of, urgency
from retrofill.model.records import all_as_json
from retrofill.model.records import as_json as told
from retrofill.model.report import Report
from retrofill.model.standing import standing_of
from retrofill.state import pages
from retrofill.state.jobs import JobLine, counted, list_jobs
from retrofill.state.listing import list_runs

RunNumber = Annotated[int, typer.Argument(metavar="RUN", help="The number of a run.")]

_RUNS = 20


def jobs(
    search: Annotated[
        str, typer.Argument(help="What name, source or function contains. Left out: all.")
    ] = "",
    *,
    as_json: Json = False,
) -> None:
    """List jobs, those first that need a person.

    Each is shown with the run that tells how it is: its open one, or else its newest.
    """
    with open_state() as conn:
        lines = list_jobs(conn, search=search).lines
        found = counted(conn, sorted(lines, key=lambda line: urgency(_needs(line))))
    if as_json:
        print_json(all_as_json(found))
        return
    columns = ("job", "source", "run", "status", "settled", "quarantine", "cost", "needs you")
    print_table(
        columns,
        (
            (
                job.job,
                job.source,
                job.run_id,
                job.status or "never run",
                f"{counts.succeeded + counts.quarantined:,} of {counts.total:,}",
                counts.in_quarantine,
                "unknown" if counts.cost_in_all is None else dollars(counts.cost_in_all),
                "; ".join(_needs(job)),
            )
            for job, counts in found
        ),
    )


def runs(
    job: Annotated[str | None, typer.Argument(help="The name of a job. Left out: all.")] = None,
    *,
    before: Annotated[
        int | None, typer.Option(metavar="RUN", help="Only runs older than this one.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=1_000, help="How many to list.")] = _RUNS,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    with open_state() as conn:
        job_id = None if job is None else find_job(conn, job)
        found = list_runs(conn, job_id=job_id, before=before, most=most)
    if as_json:
        print_json(all_as_json(found))
        return
    columns = ("run", "job", "status", "found", "settled", "quarantined", "calls", "opened")
    print_table(
        columns,
        (
            (
                run.run_id,
                run.job,
                standing(run),
                run.total,
                run.settled,
                run.quarantined,
                run.calls,
                run.opened_at,
            )
            for run in found
        ),
    )


def status(
    run: RunNumber,
    *,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show its progress until it is closed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a run.

    With --watch and --json, it prints a line of JSON every 2 seconds. Exit code 1: it is not
    complete.
    """
    with open_state() as conn:
        if follow:
            report = watch(conn, run, as_json=as_json)
            if not as_json:
                print_text(report_text(report, pages.get_page(conn, run).controls.source_kind))
        else:
            page = pages.get_page(conn, run)
            report = page.report
            if as_json:
                print_json(told(page))
            else:
                print_text(report_text(report, page.controls.source_kind))
    end(report)


def _needs(job: JobLine) -> tuple[str, ...]:
    """Return what a job needs a person for, as far as the state tells without Airflow."""
    standing = None
    if job.status is not None:
        standing = standing_of(
            job.status,
            unapproved=job.approval == Answer.WAITING,
            stopping=job.stop_reason is not None,
            paused=bool(job.paused),
            active=True,
        )
    return needs_of(standing, quarantines=job.quarantines, is_off=False)


def report_text(report: Report, source_kind: str) -> str:
    """Return the report of a run, as its notification has it."""
    # It imports all kinds of sources, to know their words.
    from retrofill.sources import reasons_of  # noqa: PLC0415

    return report.as_text(reasons_of(source_kind))


def end(report: Report) -> None:
    """End the command as its run did."""
    raise typer.Exit(Exit.DONE if report.status == "complete" else Exit.INCOMPLETE)
