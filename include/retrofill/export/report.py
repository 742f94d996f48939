"""Write report files: the items of a run or a job in parts, then their manifest."""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from retrofill.config import RunConfig
from retrofill.export.parts import CsvPart, Digested, Table
from retrofill.export.stores import Store
from retrofill.faults import Point, reach
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError
from retrofill.model.report_files import PARQUET_FORMAT, ReportedItem, ReportRequest, WrittenReport
from retrofill.model.runs import Run
from retrofill.state import exports, runs
from retrofill.state.connection import Connection

if TYPE_CHECKING:
    from retrofill.export.parquet_part import ParquetPart

log = logging.getLogger(__name__)

PART_ITEMS = 500_000
"""Items per part, not counting the rest of the chunk that fills it."""

PART_BYTES = 128 * 2**20
"""Bytes per part, not counting the rest of the chunk that fills it."""


def export_run(
    conn: Connection, run_id: int, asked: ReportRequest, folder: Destination, store: Store
) -> WrittenReport:
    """Write report files of what a run settled, or listed and left.

    Each report gets its own folder below ``folder``, named by the time: existing files are never
    overwritten. An interrupted report has no manifest.json.

    :raises ConfigError: they cannot be written there
    :raises NotWritten: they could not be written; a retry may succeed
    """
    run = runs.get_run(conn, run_id)
    return _export(conn, run, asked, folder / f"run-{run_id}", store, whole_job=False)


def export_job(
    conn: Connection, job: str, asked: ReportRequest, folder: Destination, store: Store
) -> WrittenReport:
    """Write report files of everything known of a job, as :func:`export_run` does for a run.

    :raises ConfigError: there is no such job, or no run of it
    """
    known = runs.find_job(conn, job)
    run_id = None if known is None else exports.last_run(conn, known.job_id)
    if known is None or run_id is None:
        raise ConfigError(f"job: {job!r} has no known run; see retrofill jobs for all jobs")
    run = runs.get_run(conn, run_id)
    return _export(conn, run, asked, folder / f"job-{known.job_id}", store, whole_job=True)


def _export(
    conn: Connection,
    run: Run,
    asked: ReportRequest,
    above: Destination,
    store: Store,
    *,
    whole_job: bool,
) -> WrittenReport:
    config = RunConfig.from_stored(run.config)
    table = Table(config.source_kind.report, config.source.place(), details=asked.details)
    counts = dict.fromkeys(asked.statuses, 0)
    results: list[dict[str, Any]] = []
    with exports.snapshot(conn, run.job_id, None if whole_job else run.run_id) as snapshot:
        version_of = snapshot.versions() if asked.details else {}
        folder = above / snapshot.taken_at.strftime("%Y-%m-%dT%H-%M-%S-%fZ")
        for status in asked.statuses:
            chunks = snapshot.items(status, asked)
            if version_of:
                chunks = (_with_versions(chunk, version_of) for chunk in chunks)
            for number, first in enumerate(chunks, 1):
                file = folder / f"results/{status}-{number:05}.{asked.format}"
                part = _write_part(store, file, chain([first], chunks), table)
                log.info("wrote %s: %d items, %d bytes", file, part["Rows"], part["Bytes"])
                results.append({"TaskExecutionStatus": status, **part})
                counts[status] += part["Rows"]
                reach(Point.PART_WRITTEN)
    said = {
        "Format": table.form.format if asked.format == "csv" else PARQUET_FORMAT,
        "ReportCreationDate": _moment(datetime.now(UTC)),
        "Results": results,
        "ReportSchema": ", ".join(table.columns),
        "SnapshotAt": _moment(snapshot.taken_at),
        "Items": asked.items,
        "Counts": counts,
        "Job": run.job,
        "Run": None if whole_job else run.run_id,
        "Source": config.source.origin() if whole_job else config.source.label(),
        "Function": run.function.name,
        "FunctionVersion": run.function.version,
    }
    manifest = folder / "manifest.json"
    with store.writing(manifest) as opened:
        digested = Digested(opened)
        digested.write(json.dumps(said, indent=2, ensure_ascii=False).encode())
    log.info("wrote %s: %s", manifest, ", ".join(f"{n:,} {name}" for name, n in counts.items()))
    return WrittenReport(
        manifest=str(manifest),
        sha256=digested.sha256.hexdigest(),
        counts=counts,
        parts=len(results),
        bytes=sum(result["Bytes"] for result in results),
        snapshot_at=snapshot.taken_at,
    )


def _with_versions(chunk: list[ReportedItem], version_of: Mapping[int, str]) -> list[ReportedItem]:
    """Return items; an unknown function version becomes the one of the item's run."""
    return [
        item if item.function_version else item._replace(function_version=version_of[item.run_id])
        for item in chunk
    ]


def _write_part(
    store: Store, file: Destination, chunks: Iterator[list[ReportedItem]], table: Table
) -> dict[str, Any]:
    """Write items until the part is full, or there are no more.

    :returns: its entry in the manifest, with the members of a completion report
    """
    rows = 0
    with store.writing(file) as opened:
        digested = Digested(opened)
        part = _begin(file, digested, table)
        for chunk in chunks:
            part.write(chunk)
            rows += len(chunk)
            if rows >= PART_ITEMS or digested.bytes >= PART_BYTES:
                break
        part.end()
    return {
        "Bucket": file.host,
        "MD5Checksum": digested.md5.hexdigest(),
        "Key": file.path,
        "Sha256": digested.sha256.hexdigest(),
        "Rows": rows,
        "Bytes": digested.bytes,
    }


def _begin(file: Destination, digested: Digested, table: Table) -> "CsvPart | ParquetPart":
    if file.path.endswith(".csv"):
        return CsvPart(digested, table)
    # Otherwise every task would load pyarrow, usually for nothing.
    from retrofill.export.parquet_part import ParquetPart  # noqa: PLC0415

    return ParquetPart(digested, table)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
