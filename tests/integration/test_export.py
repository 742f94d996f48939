"""Report files: the result of each item, in parts, with the manifest written last."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from psycopg2.extensions import connection
from pyarrow import parquet
from retrofill.config import params_for
from retrofill.environment import EnvironmentConnections
from retrofill.export import report
from retrofill.export.report import export_job, export_run
from retrofill.export.stores import ROOT, open_store
from retrofill.faults import InjectedError, Point, armed, injected
from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item
from retrofill.model.report_files import ReportRequest
from retrofill.model.runs import SetRef, Window
from retrofill.sources import SOURCES, Opening
from retrofill.sources.s3.source import Filter, S3Source
from retrofill.state import batches, exports, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.integration.opened import enqueue, entries_of, item, open_run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = ["a b", 'a"b', "a+b", "a,b", "a\nb", "a%20b", "z/ü", "z/写真"]
COLUMNS = [
    "Bucket", "Key", "VersionId", "TaskStatus", "ErrorCode", "HTTPStatusCode", "ResultMessage",
]  # fmt: skip
DETAILS = [
    "Attempts", "Unsure", "RunId", "RequestId", "FunctionVersion", "SettledAt", "Identifier",
]  # fmt: skip
POISON = {"error_type": "Runtime.HandlerError", "error": 'no "image",\nat all'}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def half_done(
    dsn: str,
    conn: connection,
    keys: Sequence[str] = KEYS,
    dag_run_id: str = "r",
    items: Sequence[Item] = (),
    **changed: Any,
) -> SetRef:
    """Run halfway: of every three items, one succeeds, one fails and one is left."""
    ref = open_run(conn, dag_run_id, **changed)
    enqueue(conn, ref, items or [item(key, f"{dag_run_id}{key}") for key in keys])
    job_id = runs.get_run(conn, ref.run_id).job_id
    (batch,) = batches.plan(conn, ref, job_id, most_items=99, fewest_items=99)
    with closing(BatchLease(dsn, batch.batch_id, "holder")) as lease:
        assert lease.take(holder_is_dead=lambda _: False)
        calls = [Call.of([entry]) for entry in entries_of(lease)]
        lease.settle(Settlement(), calls)
        good, bad = calls[::3], calls[1::3]
        failed = [EndedCall(one.number, "failed", f"r{one.number}", "7", **POISON) for one in bad]
        lease.settle(
            Settlement(
                ended=[EndedCall(one.number, "succeeded", f"r{one.number}", "7") for one in good]
                + failed,
                succeeded=[(span, one.number) for one in good for span in one.spans],
                quarantined=[
                    Quarantined(replace(one.entries[0], attempts=1), end, end.error)
                    for one, end in zip(bad, failed, strict=True)
                ],
            ),
            [],
        )
        lease.release(done=False)
    return ref


def to(folder: str) -> tuple[Destination, Any]:
    destination = Destination.parse(folder)
    return destination, open_store(destination, EnvironmentConnections(), "", anywhere=True)


def manifest_of(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def rows_of(manifest: dict[str, Any]) -> list[list[str]]:
    rows = []
    for result in manifest["Results"]:
        text = Path(result["Key"]).read_bytes()
        assert hashlib.sha256(text).hexdigest() == result["Sha256"]
        assert hashlib.md5(text, usedforsecurity=False).hexdigest() == result["MD5Checksum"]
        assert len(text) == result["Bytes"]
        own = list(csv.reader(text.decode().splitlines(keepends=True)))
        assert len(own) == result["Rows"]
        assert {row[3] for row in own} == {result["TaskExecutionStatus"]}
        rows += own
    return rows


def test_each_item_is_in_the_report_once_in_the_columns_of_s3_batch(
    state_dsn: str, conn: connection, tmp_path: Path
) -> None:
    ref = half_done(state_dsn, conn)
    written = export_run(conn, ref.run_id, ReportRequest(), *to(str(tmp_path)))
    manifest = manifest_of(written.manifest)
    rows = rows_of(manifest)
    assert manifest["Format"] == "Report_CSV_20180820"
    assert manifest["ReportSchema"] == ", ".join(COLUMNS)
    assert sorted(unquote(row[1]) for row in rows) == sorted(KEYS)
    assert {row[0] for row in rows} == {"bucket"}
    assert [row[3:] for row in rows if row[3] == "failed"] == [
        ["failed", POISON["error_type"], "", POISON["error"]]
    ] * 3
    assert manifest["Counts"] == written.counts == {"failed": 3, "pending": 2, "succeeded": 3}
    text = Path(written.manifest).read_bytes()
    assert hashlib.sha256(text).hexdigest() == written.sha256
    assert (manifest["Job"], manifest["Run"], manifest["FunctionVersion"]) == ("job", 1, "1")


def test_keys_ascend_within_a_status(state_dsn: str, conn: connection, tmp_path: Path) -> None:
    ref = half_done(state_dsn, conn, [f"k{number:03}" for number in range(90)])
    rows = rows_of(
        manifest_of(export_run(conn, ref.run_id, ReportRequest(), *to(str(tmp_path))).manifest)
    )
    for status in ("failed", "pending", "succeeded"):
        keys = [row[1] for row in rows if row[3] == status]
        assert keys == sorted(keys)
        assert len(keys) == 30


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_details_follow_the_columns_of_the_source(
    state_dsn: str, conn: connection, tmp_path: Path, format_: Any
) -> None:
    ref = half_done(state_dsn, conn)
    asked = ReportRequest(format=format_, details=True)
    manifest = manifest_of(export_run(conn, ref.run_id, asked, *to(str(tmp_path))).manifest)
    assert manifest["ReportSchema"] == ", ".join(COLUMNS + DETAILS)
    details = {}
    for result in manifest["Results"]:
        if format_ == "csv":
            text = Path(result["Key"]).read_text(encoding="utf-8")
            rows = list(csv.reader(text.splitlines(keepends=True)))
        else:
            table = parquet.read_table(result["Key"])
            assert table.column_names == COLUMNS + DETAILS
            rows = [list(map(str, row.values())) for row in table.to_pylist()]
        details[result["TaskExecutionStatus"]] = rows[0][7:]
    assert [one.lower() for one in details["succeeded"][:5]] == ["1", "false", "1", "r1", "7"]
    assert [one.lower() for one in details["failed"][:5]] == ["1", "false", "1", "r5", "7"]
    # Its call is lost, so the version is the run's.
    assert [one.lower() for one in details["pending"][:5]] == ["1", "true", "1", "", "1"]
    assert details["pending"][5] in {"", "None"}
    assert details["succeeded"][5].startswith("20")


def test_a_report_may_contain_only_failures(
    state_dsn: str, conn: connection, tmp_path: Path
) -> None:
    ref = half_done(state_dsn, conn)
    written = export_run(conn, ref.run_id, ReportRequest(items="failures"), *to(str(tmp_path)))
    assert written.counts == {"failed": 3}
    assert {row[3] for row in rows_of(manifest_of(written.manifest))} == {"failed"}


def test_the_report_of_a_job_covers_all_its_runs(
    state_dsn: str, conn: connection, tmp_path: Path
) -> None:
    first = half_done(state_dsn, conn)
    half_done(state_dsn, conn, ["x", "y", "z"], dag_run_id="s")
    of_run = export_run(conn, first.run_id, ReportRequest(), *to(str(tmp_path)))
    of_job = export_job(conn, "job", ReportRequest(), *to(str(tmp_path)))
    assert sum(of_run.counts.values()) == len(KEYS)
    assert sum(of_job.counts.values()) == len(KEYS) + 3
    assert manifest_of(of_job.manifest)["Run"] is None
    with pytest.raises(ConfigError, match="job: 'other' has no known run; see retrofill jobs"):
        export_job(conn, "other", ReportRequest(), *to(str(tmp_path)))


def test_parts_are_bounded(
    state_dsn: str, conn: connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PART_ITEMS", 4)
    monkeypatch.setattr(exports, "CHUNK_ITEMS", 2)
    ref = half_done(state_dsn, conn, [f"k{number:03}" for number in range(30)])
    manifest = manifest_of(
        export_run(conn, ref.run_id, ReportRequest(), *to(str(tmp_path))).manifest
    )
    assert [one["Rows"] for one in manifest["Results"]] == [4, 4, 2] * 3
    assert len({one["Key"] for one in manifest["Results"]}) == 9
    assert sorted(row[1] for row in rows_of(manifest)) == [f"k{number:03}" for number in range(30)]


def test_a_report_is_one_snapshot(state_dsn: str, conn: connection, tmp_path: Path) -> None:
    ref = half_done(state_dsn, conn)
    destination, store = to(str(tmp_path))
    with closing(connect(state_dsn)) as other:

        class Meanwhile:
            """A store that forgets the whole job before it accepts the first part."""

            def writing(self, file: Destination) -> Any:
                with other, other.cursor() as cur:
                    cur.execute("DELETE FROM retrofill.results; DELETE FROM retrofill.in_process")
                return store.writing(file)

        written = export_run(conn, ref.run_id, ReportRequest(), destination, Meanwhile())  # type: ignore[arg-type]
    assert sum(written.counts.values()) == len(KEYS)


def test_a_run_opened_meanwhile_shows_its_version(
    state_dsn: str, conn: connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(state_dsn, conn)
    snapshot = exports.snapshot

    def later(own: connection, *of: Any) -> Any:
        with closing(connect(state_dsn)) as other:
            half_done(state_dsn, other, ["x", "y", "z"], dag_run_id="s")
        return snapshot(own, *of)

    monkeypatch.setattr(exports, "snapshot", later)
    written = export_job(conn, "job", ReportRequest(details=True), *to(str(tmp_path)))
    assert sum(written.counts.values()) == len(KEYS) + 3


def test_an_interrupted_report_has_no_manifest_and_is_rewritten(
    state_dsn: str, conn: connection, tmp_path: Path
) -> None:
    ref = half_done(state_dsn, conn)
    act = armed(f"{Point.PART_WRITTEN}:2:raise")
    with injected(act), pytest.raises(InjectedError):
        export_run(conn, ref.run_id, ReportRequest(), *to(str(tmp_path)))
    assert len(list(tmp_path.rglob("*.csv"))) == 2
    assert list(tmp_path.rglob("manifest.json")) == []
    written = export_run(conn, ref.run_id, ReportRequest(), *to(str(tmp_path)))
    assert len(rows_of(manifest_of(written.manifest))) == len(KEYS)
    assert len(list(tmp_path.rglob("manifest.json"))) == 1


@pytest.fixture
def connections(aws: str) -> EnvironmentConnections:
    """Connections, one of them to the AWS emulator."""
    said = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": "us-east-1", "endpoint_url": aws},
    }
    return EnvironmentConnections({"AIRFLOW_CONN_AWS": json.dumps(said)})


def read(connections: EnvironmentConnections, **params: str) -> list[Item]:
    """Return the items of a manifest."""
    kind = SOURCES["manifest"]
    source = kind.open(
        kind.params.from_params(params),
        Opening(connections, "aws", Window(after=None, before=None), None),
    )
    assert source.check()
    assert source.estimate()
    pages = [page for part in source.partitions(3) for page in source.pages(part)]
    return sorted(item for page in pages for item in page.items)


@pytest.mark.parametrize(
    "asked",
    [
        ReportRequest(items="failures", format=format_, details=details)
        for format_ in ("csv", "parquet")
        for details in (False, True)
    ],  # type: ignore[arg-type]
    ids=str,
)
def test_the_report_of_failures_can_be_read_as_a_manifest(
    state_dsn: str,
    conn: connection,
    s3_client: "S3Client",
    connections: EnvironmentConnections,
    asked: ReportRequest,
) -> None:
    name = f"export-{asked.format}-{asked.details}".lower()
    s3_client.create_bucket(Bucket=name)
    s3_client.create_bucket(Bucket=f"{name}-lists")
    for key in KEYS:
        s3_client.put_object(Bucket=name, Key=key, Body=key.encode())
    everything = Filter(window=Window(after=None, before=None))
    listing = S3Source(s3_client, bucket=name, prefix="", wanted=everything, versions=False)
    [whole] = listing.partitions(1)
    found = (one for page in listing.pages(whole) for one in page.items)
    items = sorted(found, key=attrgetter("key"))
    ref = half_done(state_dsn, conn, items=items, config={"bucket": name})
    destination = Destination.parse(f"s3://{name}-lists/reports")
    store = open_store(destination, connections, "aws")
    store.require_writable(destination)
    assert "Contents" not in s3_client.list_objects_v2(Bucket=f"{name}-lists")
    written = export_run(conn, ref.run_id, asked, destination, store)
    failed = sorted(items[1::3])
    assert len(failed) == 3
    for manifest in (written.manifest, f"s3://{name}-lists/reports/**/*.{asked.format}"):
        again = read(connections, bucket=name, manifest=manifest)
        assert [one[:2] for one in again] == [one[:2] for one in failed]


def test_an_unwritable_folder_is_reported_before_anything_is_done(
    connections: EnvironmentConnections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(folder: str) -> str:
        destination = Destination.parse(folder)
        with pytest.raises(ConfigError) as refused:
            open_store(destination, connections, "aws").require_writable(destination)
        return str(refused.value)

    monkeypatch.setenv(ROOT, "")
    assert "to write there, set RETROFILL_REPORTS in its environment" in refusal(str(tmp_path))
    monkeypatch.setenv(ROOT, str(tmp_path / "reports"))
    assert f"report_to: {tmp_path} is not allowed; give a path in {tmp_path}/reports" in refusal(
        str(tmp_path)
    )
    (tmp_path / "reports").write_text("")
    assert "reports is not a directory that may be written to" in refusal(f"{tmp_path}/reports/x")
    assert "nothing can be written to s3://there-is-none (" in refusal("s3://there-is-none/x")
    assert "none:// is not supported by smart_open here" in refusal("none://a/b")
    assert "http:// is not supported by smart_open here" in refusal("http://a/b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("reports", "it begins neither"),
        ("/a/../b", "it contains .."),
        ("sftp://me:secret@host/x", "it contains a login"),
        ("s3://", "it is not the address of a folder"),
        ("s3://b/x?versionId=1", "it is not the address of a folder"),
    ],
)
def test_a_bad_folder_is_refused_with_its_param(text: str, why: str) -> None:
    asked = {"bucket": "bucket", "prefix": "k", "function": "f", "report_to": text}
    [problem] = params_for("s3").problems(asked)
    assert problem.name == "report_to"
    assert why in problem.text
    assert "secret" not in problem.text
