"""The command that writes report files: of a run, or of all that is known of a job."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrofill.cli.output import Json, print_json, print_text
from retrofill.cli.state import connections, open_state
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.model.report_files import ReportRequest

if TYPE_CHECKING:
    from retrofill.model.report_files import WrittenReport


class Items(StrEnum):
    """Which items are told of."""

    ALL = "all"
    FAILURES = "failures"


class Format(StrEnum):
    """The format of the files."""

    CSV = "csv"
    PARQUET = "parquet"


def export(
    folder: Annotated[
        str, typer.Argument(help="Where to: a path, or the address of a folder in a store.")
    ],
    *,
    run: Annotated[int | None, typer.Option(help="The number of the run.")] = None,
    job: Annotated[str | None, typer.Option(help="The name of the job, in place of a run.")] = None,
    items: Annotated[Items, typer.Option(help="all, or only failures.")] = Items.ALL,
    form: Annotated[Format, typer.Option("--format", help="csv or parquet.")] = Format.CSV,
    details: Annotated[
        bool, typer.Option("--details", help="Tell also of attempts, run, request id and time.")
    ] = False,
    aws_conn_id: Annotated[
        str, typer.Option(help="The connection by which a store on AWS is reached.")
    ] = "aws_default",
    as_json: Json = False,
) -> None:
    """Write report files: what became of each item of a run, or of a job.

    They get a folder of their own, with a manifest.json that is written last.
    """
    asked = ReportRequest(items=items.value, format=form.value, details=details)
    written = _write(_destination(folder), asked, run, job, aws_conn_id)
    if as_json:
        print_json(written.as_json())
    else:
        counts = ", ".join(f"{count:,} {status}" for status, count in written.counts.items())
        print_text(f"{written.manifest}\n{counts}")


def _write(
    folder: Destination, asked: ReportRequest, run: int | None, job: str | None, aws_conn_id: str
) -> "WrittenReport":
    # What takes a second to import: clients of stores, and columns of Parquet.
    from retrofill.export import export_job, export_run, open_store  # noqa: PLC0415

    store = open_store(folder, connections(), aws_conn_id, anywhere=True)
    store.require_writable(folder)
    with open_state() as conn:
        if run is not None and job is None:
            return export_run(conn, run, asked, folder, store)
        if job is not None and run is None:
            return export_job(conn, job, asked, folder, store)
    raise ConfigError(f"run: {run}, job: {quoted(job)}; allowed is one of the two")


def _destination(text: str) -> Destination:
    try:
        # What a person types is seen from where they are.
        return Destination.parse(text if "://" in text else str(Path(text).resolve()))
    except ValueError as error:
        raise ConfigError(f"folder: {quoted(text)}; {error}") from error
