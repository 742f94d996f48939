"""The JSON schema of job files, with which an editor finds your mistakes."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from retrofill.jobs import FOLDER, load_job
from retrofill.jobs.lines import Lines

from tests.faults.test_scheduled import JOB
from tests.unit.test_jobs import GOOD

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/reference/job.schema.json").read_text(encoding="utf-8")
)


HTTP = "{files: s3://b/x, function_kind: http, http_conn_id: f}"


def problems(text: str, folder: Path) -> list[str]:
    path = folder / "retrofill_job.yaml"
    path.write_text(text)
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(Lines(path).value)]


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        (FOLDER / "retrofill_daily.yaml.example").read_text(),
        JOB.format(name="daily", start="2026-01-01", set_items=1000),
        GOOD,
        GOOD.replace('"@daily"', "none"),
        GOOD.replace('"@daily"', "none").replace("start_date: 2026-01-01\n", ""),
        GOOD.replace("@daily", "*/15 * * * mon-fri"),
        GOOD.replace('"@daily"', "\n  assets:\n    - s3://photos/done\n    - retrofill://jobs/a"),
        GOOD + "  overlap: wait\n  priority: 20\n  max_percent_by_cause: {timed_out: 5}\n",
        f"source: rows\nschedule: none\nparams: {HTTP}",
    ],
)
def test_the_schema_accepts_good_files(text: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path) == []
    assert load_job(tmp_path / "retrofill_job.yaml").problems == ()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("source: s3", "source: s4"),
        ("source: s3\n", ""),
        ("@daily", "every day"),
        ("@daily", "@once"),
        ("@daily", "0 0 3 * * *"),
        ('"@daily"', "{assets: []}"),
        ('"@daily"', "{assets: [orders]}"),
        ('"@daily"', "{asset: [s3://orders]}"),
        ('"@daily"', "none\ncatchup: true"),
        ("start_date: 2026-01-01\n", ""),
        ("start_date", "catchup: 1\nstart_date"),
        ("params:", "params: 5\nx:"),
        ("  bucket: my-photos", "  buckett: my-photos"),
        ("  bucket: my-photos\n", ""),
        ("  function: resize\n", ""),
        ("resize", "resize\n  items_per_call: 0"),
        ("resize", "resize\n  event: sqs"),
        ("resize", "resize\n  overlap: queue"),
        ("resize", "resize\n  function_kind: http"),
        ("start_date", "begin"),
    ],
)
def test_schema_and_reader_refuse_the_same_files(good: str, bad: str, tmp_path: Path) -> None:
    assert good in GOOD
    assert problems(GOOD.replace(good, bad), tmp_path) != []
    assert load_job(tmp_path / "retrofill_job.yaml").problems
