"""The DAG itself: what a person sees of it, and whole runs of it in one process."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).parents[2]
HANDLER = """
import json, os, urllib.parse
import boto3

def handle(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    for record in event["Records"]:
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        if "poison" in key:
            raise ValueError("poison: " + key)
        s3.put_object(Bucket=os.environ["OUT"], Key=context.aws_request_id + "/" + key, Body=b"1")
"""
TASKS = [
    "open_run", "list_partitions", "enqueue", "plan_batches", "invoke", "close_run", "next_set",
    "notify",
]  # fmt: skip
_numbers = count()


@dataclass
class World:
    """A bucket, a function that leaves a trace of each object, and an Airflow that knows both."""

    bucket: str
    function: str
    dsn: str
    environment: dict[str, str]
    s3: "S3Client"

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=key.encode())

    def outputs(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=f"{self.bucket}-out")
        found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.partition("/")[2] for key in found)

    def run(self, dag_run_id: str = "r", **params: Any) -> dict[str, str]:
        """Run the DAG; return the final state of each of its tasks, and of the run."""
        conf = {"bucket": self.bucket, "prefix": "in/", "function": self.function, **params}
        return run_dag(self.environment, dag_run_id, conf)

    def report(self) -> Mapping[str, Any]:
        """Return the newest run's row of the public view."""
        with closing(psycopg2.connect(self.dsn)) as conn, conn.cursor() as cur:
            cur.execute("SELECT row_to_json(v) FROM retrofill.v_run v ORDER BY run_id DESC LIMIT 1")
            row = cur.fetchone()
        assert row is not None
        report: Mapping[str, Any] = row[0]
        return report


def run_dag(
    environment: dict[str, str], dag_run_id: str, conf: dict[str, Any], dag: str = "retrofill:dag"
) -> dict[str, str]:
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "tests.dags.run_dag", dag_run_id, json.dumps(conf), dag],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    (ROOT / ".pytest_cache").mkdir(exist_ok=True)
    (ROOT / ".pytest_cache" / "last_dag_run.log").write_text(done.stdout + done.stderr)
    last = done.stdout.strip().rpartition("\n")[2]
    assert last.startswith("{"), done.stdout[-4000:] + done.stderr[-4000:]
    states: dict[str, str] = json.loads(last)
    states["log"] = done.stdout + done.stderr
    return states


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow with a metadata database of its own."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "no-plugins"),
        "PYTHONPATH": str(ROOT),
    }
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True)  # noqa: S603
    return environment


@pytest.fixture
def world(
    airflow_environment: dict[str, str],
    state_dsn: str,
    aws: str,
    s3_client: "S3Client",
    lambda_client: "LambdaClient",
) -> Iterator[World]:
    name = f"world-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    s3_client.create_bucket(Bucket=f"{name}-out")
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", HANDLER)
    lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="handler.handle",
        Code={"ZipFile": code.getvalue()},
        Timeout=10,
        Environment={"Variables": {"OUT": f"{name}-out", "AWS_ENDPOINT_URL": aws}},
    )
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": "us-east-1", "endpoint_url": aws},
    }
    environment = {
        **airflow_environment,
        "AIRFLOW_CONN_RETROFILL_STATE": state_dsn,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }
    yield World(name, name, state_dsn, environment, s3_client)
    lambda_client.delete_function(FunctionName=name)


def test_every_object_is_called_once_and_the_second_run_calls_nothing(
    world: World, sns_client: "SNSClient", sqs_client: "SQSClient"
) -> None:
    keys = ["in/plain.txt", "in/with space+plus%25.txt", "in/ünïcode/✓.txt", "in/line\nbreak"]
    world.put(*keys, "outside.txt")
    topic = sns_client.create_topic(Name=world.bucket)["TopicArn"]
    queue = sqs_client.create_queue(QueueName=world.bucket)["QueueUrl"]
    queue_arn = sqs_client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns_client.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"]
    )

    states = world.run("first", notify_sns_topic_arn=topic)

    assert {name: states[name] for name in TASKS} == {
        **dict.fromkeys(TASKS, "success"), "next_set": "skipped"
    }  # fmt: skip
    assert states["dag_run"] == "success"
    assert world.outputs() == sorted(keys)
    report = world.report()
    assert report["state"] == "complete"
    counts = ("listed", "new", "known", "succeeded", "quarantined", "calls", "items_left")
    assert [report[name] for name in counts] == [4, 4, 0, 4, 0, 4, 0]
    (message,) = sqs_client.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    sent = json.loads(json.loads(message["Body"])["Message"])
    assert (sent["succeeded"], sent["calls"], sent["state"]) == (4, 4, "complete")
    assert report["notified_at"] is not None

    again = world.run("second")
    assert again["dag_run"] == "success"
    report = world.report()
    assert [report[name] for name in counts] == [4, 0, 4, 0, 0, 0, 0]
    assert world.outputs() == sorted(keys)


def test_a_source_without_objects_is_success(world: World) -> None:
    states = world.run()
    assert states["dag_run"] == "success"
    assert states["notify"] == "success"
    assert world.report()["listed"] == 0


def test_poison_is_quarantined_and_the_others_succeed(world: World) -> None:
    world.put("in/a", "in/b", "in/poison", "in/c")
    states = world.run(items_per_call=4, max_attempts=2)
    assert states["dag_run"] == "success"
    report = world.report()
    assert (report["succeeded"], report["quarantined"]) == (3, 1)
    assert set(world.outputs()) == {"in/a", "in/b", "in/c"}


def test_a_run_larger_than_a_set_asks_for_the_next_one(world: World) -> None:
    world.put("in/a", "in/b", "in/c")
    states = world.run(max_items_per_set=2)
    assert states["next_set"] == "success"
    assert states["notify"] == "skipped"
    report = world.report()
    assert (report["state"], report["succeeded"], report["partitions_left"]) == ("open", 2, 1)
    states = world.run("following", max_items_per_set=2, continue_run=report["run_id"])
    assert (states["next_set"], states["notify"]) == ("skipped", "success")
    report = world.report()
    assert (report["state"], report["succeeded"], report["sets"]) == ("complete", 3, 2)
    assert world.outputs() == ["in/a", "in/b", "in/c"]


def test_what_cannot_be_done_is_said_before_anything_is_touched(world: World) -> None:
    world.put("in/a")
    states = world.run(batchsize=5, items_per_cal=5, items_per_call=5.0, prefix="")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    for message in (
        "batchsize: ",
        "did you mean items_per_call?",
        "items_per_call: 5.0",
    ):
        assert message in states["log"]
    assert world.outputs() == []
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.run")
        assert cur.fetchone() == (0,)


def test_a_bucket_that_is_not_there_fails_the_run_at_once(world: World) -> None:
    states = world.run(bucket="no-such-bucket")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert "there is no bucket 'no-such-bucket'" in states["log"]
