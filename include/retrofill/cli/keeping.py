"""Commands that maintain the state and job files: schema, grants, checks, forgetting."""

import os
from pathlib import Path
from typing import Annotated

import typer

from retrofill.cli.exits import Exit
from retrofill.cli.output import Json, print_json, print_text, say
from retrofill.cli.state import check_setup, open_state, wiring
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.model.records import as_json as json_of
from retrofill.pipeline.maintenance import forget_job
from retrofill.state.grants import JOBS, RUNTIME, script
from retrofill.state.migrate import migrate as migrate_schema

db = typer.Typer(
    name="db", help="The schema of the state, and the grants of roles.", no_args_is_help=True
)


@db.command()
def migrate(
    dsn: Annotated[
        str,
        typer.Argument(help="The database. Left out: the one of the connection retrofill_state."),
    ] = "",
) -> None:
    """Bring the state's schema to this version. Run it as the schema's owner."""
    applied = migrate_schema(dsn or wiring().state_dsn)
    print_text("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


@db.command()
def check(*, as_json: Json = False) -> None:
    """Show what is missing before runs can be opened, and what to do about it.

    It checks the state, its schema and the grants of its role and, if the connection comes from
    Airflow, Airflow's settings. Exit code 3: no run can be opened.
    """
    found = check_setup()
    if as_json:
        print_json(json_of(found))
    else:
        facts = found.state._asdict() if found.state is not None else {}
        for name, value in facts.items():
            print_text(f"{name.replace('_', ' ')}: {value}")
        for finding in found.findings:
            print_text("\n" * bool(facts) + "\n".join(finding.lines()))
        for notice in found.notices:
            print_text(f"notice: {notice}")
    raise typer.Exit(Exit.DONE if found.ready else Exit.UNREACHABLE)


@db.command()
def grants(
    *,
    runtime: Annotated[
        str, typer.Option(help="The role of tasks and pages.")
    ] = "retrofill_runtime",
    reader: Annotated[str, typer.Option(help="The role that reads the public views.")] = (
        "retrofill_reader"
    ),
    forget: Annotated[
        bool, typer.Option("--forget", help="Also let the runtime role forget results and jobs.")
    ] = False,
) -> None:
    """Print the GRANT statements that roles need. Run them as the schema's owner."""
    print_text("\n".join(script(runtime, reader, forget=forget)))


def check_jobs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="The folder. Left out: the one in AIRFLOW__RETROFILL__JOBS_FOLDER, otherwise jobs/"
            " next to the package."
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check all job files; each problem is shown with its file and line.

    Exit code 2: there are problems.
    """
    # It imports all kinds of sources and functions, for their params.
    from retrofill.jobs import folder_of, load_jobs, others  # noqa: PLC0415

    place = folder or folder_of(os.environ.get("AIRFLOW__RETROFILL__JOBS_FOLDER"))
    if folder is not None and not folder.is_dir():
        raise ConfigError(
            f"folder: {quoted(str(place))} is not allowed; give an existing directory"
        )
    jobs = load_jobs(place)
    problems = [problem for job in jobs for problem in job.problems]
    if as_json:
        print_json({"jobs": [job.name for job in jobs], "problems": problems})
    else:
        for problem in problems:
            say(problem)
        print_text(f"{len(jobs)} job files, {len(problems)} problems, in {place}")
        if names := ", ".join(map(repr, others(place))):
            print_text(f"not job files, because their names do not start with retrofill_: {names}")
    raise typer.Exit(Exit.BAD_INPUT if problems else Exit.DONE)


def forget(
    job: Annotated[str, typer.Argument(help="The exact name of a job.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a job: all its items are new again.

    This permanently deletes its runs, calls, results and quarantine.
    """
    if not yes:
        question = f"Forget everything about job {job}? You cannot undo this."
        typer.confirm(question, abort=True, err=True)
    with open_state({**RUNTIME, **JOBS}) as conn:
        forgotten = forget_job(conn, job)
    if as_json:
        print_json(forgotten)
    else:
        counts = (f"{name.replace('_', ' ')} {count:,}" for name, count in forgotten.items())
        print_text(f"forgot job {job}: {', '.join(counts)}")
