"""Report files in the DAG: written at the end, reported, and read again as a manifest."""

import hashlib
import json
from typing import Any

import pytest

from tests.dags.run_dag import run_dag
from tests.dags.world import World

pytestmark = pytest.mark.faults

POISON = ["in/poison 1", "in/poison+2"]


def contents(world: World, address: str) -> bytes:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return world.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_failures_are_exported_reported_and_called_by_a_run_over_the_export(world: World) -> None:
    world.put(*POISON, "in/good")
    asked: dict[str, Any] = {"max_attempts": 1, "max_failure_percent": 100}
    reports = f"s3://{world.bucket}-out/reports"
    states = world.run(**asked, report_to=reports, report_items="failures")
    assert (states["write_report"], states["dag_run"]) == ("success", "success")
    report = world.report()
    files = report["report_files"]
    manifest = contents(world, files["manifest"])
    assert hashlib.sha256(manifest).hexdigest() == files["sha256"]
    assert files["counts"] == json.loads(manifest)["Counts"] == {"failed": 2}
    assert f"files       {files['manifest']} (SHA-256 {files['sha256']})" in states["log"]
    again = run_dag(
        world.environment,
        {
            "bucket": world.bucket,
            "manifest": files["manifest"],
            "function": world.function,
            "event": "s3",
            "job": "again",
            **asked,
        },
        "retrofill_manifest",
    )
    assert (again["write_report"], again["dag_run"]) == ("skipped", "success")
    report = world.report()
    assert (report["new"], report["calls"], report["quarantined"]) == (2, 2, 2)


def test_a_run_is_refused_if_its_report_files_cannot_be_written(world: World) -> None:
    states = world.run(report_to="s3://there-is-none/x")
    assert states["open_run"] == "failed"
    assert "report_to: nothing can be written to s3://there-is-none" in states["log"]
    assert states["dag_run"] == "failed"
