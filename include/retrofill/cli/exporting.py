"""The command that writes report files of a run or of a whole job."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retrofill.cli.output import Json, print_json, print_text
from retrofill.cli.state import connections, open_state
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.model.report_files import ReportRequest


class Items(StrEnum):
    """Which items the files contain."""

    ALL = "all"
    FAILURES = "failures"


class Format(StrEnum):
    """The format of the files."""

    CSV = "csv"
    PARQUET = "parquet"


def export(
    folder: Annotated[
        str, typer.Argument(help="The destination: a path, or the address of a folder in a store.")
    ],
    *,
    run: Annotated[int | None, typer.Option(help="The number of the run.")] = None,
    job: Annotated[str | None, typer.Option(help="The name of the job, instead of a run.")] = None,
    items: Annotated[Items, typer.Option(help="all, or only failures.")] = Items.ALL,
    form: Annotated[Format, typer.Option("--format", help="csv or parquet.")] = Format.CSV,
    details: Annotated[
        bool, typer.Option("--details", help="Add attempts, run, request id and time.")
    ] = False,
    aws_conn_id: Annotated[
        str, typer.Option(help="The connection for a store on AWS.")
    ] = "aws_default",
    as_json: Json = False,
) -> None:
    """Write report files with the result of each item of a run or a job.

    They get a new folder, with a manifest.json that is written last.
    """
    # These take a second to import: clients of stores, and Parquet.
    from retrofill.export.report import export_job, export_run  # noqa: PLC0415
    from retrofill.export.stores import open_store  # noqa: PLC0415

    if (run is None) == (job is None):
        raise ConfigError(f"run: {run}, job: {quoted(job)}; give one of them")
    asked = ReportRequest(items=items.value, format=form.value, details=details)
    destination = _destination(folder)
    store = open_store(destination, connections(), aws_conn_id, anywhere=True)
    store.require_writable(destination)
    with open_state() as conn:
        if run is not None:
            written = export_run(conn, run, asked, destination, store)
        else:
            written = export_job(conn, str(job), asked, destination, store)
    if as_json:
        print_json(written.as_json())
    else:
        counts = ", ".join(f"{count:,} {status}" for status, count in written.counts.items())
        print_text(f"{written.manifest}\n{counts}")


def _destination(text: str) -> Destination:
    try:
        # A typed path is relative to the working directory.
        return Destination.parse(text if "://" in text else str(Path(text).resolve()))
    except ValueError as error:
        raise ConfigError(f"folder: {quoted(text)}; {error}") from error
