"""Whole runs over a manifest and over rows in files; their counts equal those of the data."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from retrofill.sources.files import ROOT

from tests.dags.run_dag import run_dag
from tests.dags.world import World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

KEYS = ["in/plain.txt", "in/with space+plus%25.txt", "in/ünïcode/✓.txt", "in/line\nbreak"]

ROWS = """
import json, os, boto3

def handle(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for item in event["items"]:
        body = json.dumps(item["row"]).encode()
        s3.put_object(Bucket=os.environ["OUT"], Key=item["identifier"], Body=body)
"""

COUNTS = ("listed", "new", "known", "succeeded", "quarantined", "items_left")


def counts(world: World) -> list[int]:
    report = world.report()
    return [report[name] for name in COUNTS]


def test_a_manifest_and_then_the_listing_are_one_job(world: World) -> None:
    world.put(*KEYS)
    manifest = "".join(f'{world.bucket},"{quote(key)}"\n' for key in [*KEYS, "in/gone"])
    world.s3.put_object(Bucket=world.bucket, Key="lists/m.csv", Body=manifest.encode())
    params = {
        "bucket": world.bucket,
        "manifest": f"s3://{world.bucket}/lists/m.csv",
        "function": world.function,
        "event": "s3",
        "job": "one",
    }
    states = run_dag(world.environment, params, "retrofill_manifest")
    assert states["dag_run"] == "success", states["log"][-3000:]
    assert world.outputs() == sorted(KEYS)
    assert counts(world) == [4, 4, 0, 4, 0, 0]

    again = run_dag(world.environment, params, "retrofill_manifest")
    assert again["dag_run"] == "success"
    assert counts(world) == [4, 0, 4, 0, 0, 0]

    # The listing finds newer objects in the same job; all others are known.
    world.put("in/new")
    listing = world.run(job="one")
    assert listing["dag_run"] == "success", listing["log"][-3000:]
    assert counts(world) == [5, 1, 4, 1, 0, 0]
    assert world.outputs() == sorted([*KEYS, "in/new"])


def test_each_row_is_called_once_and_unchanged(
    world: World, lambda_client: "LambdaClient", tmp_path: Path
) -> None:
    rows = [
        {"id": str(n), "text": text} for n, text in enumerate(["é", 'a "b"\n,c', "", "🦆"] * 20)
    ]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "text"], *(list(row.values()) for row in rows)])
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    numbers = ['{"n": 1.10, "big": 12345678901234567890123}', '{"n":-0.0}']
    (tmp_path / "b.jsonl").write_text("\n".join(numbers))
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=zipped(ROWS))
    environment = world.environment | {ROOT: str(tmp_path)}
    params = {
        "files": f"{tmp_path}/", "function": world.function, "event": "items",
        "items_per_call": 10,
    }  # fmt: skip
    states = run_dag(environment, params, "retrofill_rows")
    assert states["dag_run"] == "success", states["log"][-3000:]
    assert counts(world) == [82, 82, 0, 82, 0, 0]
    out = f"{world.bucket}-out"
    found = [
        json.loads(world.s3.get_object(Bucket=out, Key=key)["Body"].read())
        for key in (one["Key"] for one in world.s3.list_objects_v2(Bucket=out)["Contents"])
    ]
    expected = [*rows, *map(json.loads, numbers)]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))

    again = run_dag(environment, params, "retrofill_rows")
    assert again["dag_run"] == "success"
    assert counts(world) == [82, 0, 82, 0, 0, 0]


def test_a_malformed_row_stops_the_run_and_is_located(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n" + "1\n" * 3 + "1,2\n")
    environment = world.environment | {ROOT: str(tmp_path)}
    params = {"files": f"{tmp_path}/a.csv", "function": world.function, "event": "items"}
    states = run_dag(environment, params, "retrofill_rows")
    assert states["dag_run"] == "failed"
    assert "a.csv, row 4 at byte 9: it has 2 fields, but there are 1 columns" in states["log"]
