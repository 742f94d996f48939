"""Commands that keep the state and the job files: schema, grants, forgetting, checking."""

import os
from pathlib import Path
from typing import Annotated

import typer

from retrofill.cli.exits import Exit
from retrofill.cli.output import Json, print_json, print_text, say
from retrofill.cli.state import look_at_setup, open_state, wiring
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.model.records import as_json as json_of
from retrofill.pipeline.maintenance import forget_job
from retrofill.state.grants import JOBS, RUNTIME, script
from retrofill.state.migrate import migrate as migrate_schema

db = typer.Typer(
    name="db", help="The schema of the state, and what roles need.", no_args_is_help=True
)


@db.command()
def migrate(
    dsn: Annotated[
        str, typer.Argument(help="Its address. Left out: that of the connection retrofill_state.")
    ] = "",
) -> None:
    """Bring the state's schema to this version. Its owner must."""
    applied = migrate_schema(dsn or wiring().state_dsn)
    print_text("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


@db.command()
def check(*, as_json: Json = False) -> None:
    """Say what is missing before runs can be made, and what to do about it.

    It looks at the state, its schema and the grants of its role and, if the connection comes from
    Airflow, at Airflow's settings. Exit code 3: something is in the way of every run.
    """
    found = look_at_setup()
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
        str, typer.Option(help="The role that runs: it may do all that tasks need.")
    ] = "retrofill_runtime",
    reader: Annotated[str, typer.Option(help="The role that reads the public views.")] = (
        "retrofill_reader"
    ),
    forget: Annotated[
        bool, typer.Option("--forget", help="Let the role that runs forget results and jobs, too.")
    ] = False,
) -> None:
    """Print the GRANT statements that roles need, for the owner to run."""
    print_text("\n".join(script(runtime, reader, forget=forget)))


def check_jobs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Left out: that of AIRFLOW__RETROFILL__JOBS_FOLDER, else jobs/ beside the package."
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check all job files: what is wrong is named by file and line.

    Exit code 2: something is.
    """
    # It imports all kinds of sources and functions, for their params.
    from retrofill.jobs import folder_of, load_jobs, others  # noqa: PLC0415

    place = folder or folder_of(os.environ.get("AIRFLOW__RETROFILL__JOBS_FOLDER"))
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"folder: {quoted(str(place))}; allowed is a directory that is there")
    jobs = load_jobs(place)
    problems = [problem for job in jobs for problem in job.problems]
    if as_json:
        print_json({"jobs": [job.name for job in jobs], "problems": problems})
    else:
        for problem in problems:
            say(problem)
        print_text(f"{len(jobs)} job files, {len(problems)} problems, in {place}")
        if names := ", ".join(map(repr, others(place))):
            print_text(f"not job files, whose names begin with retrofill_: {names}")
    raise typer.Exit(Exit.BAD_INPUT if problems else Exit.DONE)


def forget(
    job: Annotated[str, typer.Argument(help="The exact name of a job.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a job: all its items are new again.

    Its runs, calls, results and quarantine are deleted for good.
    """
    if not yes:
        question = f"Forget all that is known of job {job}? It cannot be taken back."
        typer.confirm(question, abort=True, err=True)
    with open_state({**RUNTIME, **JOBS}) as conn:
        forgotten = forget_job(conn, job)
    if as_json:
        print_json(forgotten)
    else:
        counts = (f"{name.replace('_', ' ')} {count:,}" for name, count in forgotten.items())
        print_text(f"forgot job {job}: {', '.join(counts)}")
