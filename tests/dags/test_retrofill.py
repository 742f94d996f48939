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
    function_arn: str

    def attach_trigger(self, suffix: str) -> None:
        rule = {"Name": "suffix", "Value": suffix}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {
                        "Id": "new-objects",
                        "LambdaFunctionArn": self.function_arn,
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {"Key": {"FilterRules": [rule]}},  # type: ignore[list-item]
                    }
                ]
            },
        )

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=key.encode())

    def outputs(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=f"{self.bucket}-out")
        found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.partition("/")[2] for key in found)

    def run(self, dag_run_id: str = "r", **params: Any) -> dict[str, str]:
        """Run the DAG; return the final state of each of its tasks, and of the run."""
        asked = {"bucket": self.bucket, "prefix": "in/", "function": self.function, "event": "s3"}
        conf = asked | params
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


def zipped(handler: str) -> bytes:
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", handler)
    return code.getvalue()


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
    function_arn = lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="handler.handle",
        Code={"ZipFile": zipped(HANDLER)},
        Timeout=10,
        Environment={"Variables": {"OUT": f"{name}-out", "AWS_ENDPOINT_URL": aws}},
    )["FunctionArn"]
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
    yield World(name, name, state_dsn, environment, s3_client, function_arn)
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


def test_the_live_trigger_is_found_and_its_filter_kept(world: World) -> None:
    world.put("in/a.jpg", "in/b.txt", "in/c.jpg")
    world.attach_trigger(".jpg")
    states = world.run(event="auto")
    assert states["dag_run"] == "success"
    assert "live trigger: s3 by bucket notification new-objects" in states["log"]
    assert world.outputs() == ["in/a.jpg", "in/c.jpg"]
    report = world.report()
    assert (report["listed"], report["filtered"], report["succeeded"]) == (2, 1, 2)


def test_without_a_live_trigger_auto_is_refused_before_anything_is_done(world: World) -> None:
    world.put("in/a")
    states = world.run(event="auto")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert "there is no live trigger" in states["log"]
    assert "from bucket 'world-" in states["log"]
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.job")
        assert cur.fetchone() == (0,)


def test_a_preview_shows_the_first_call_and_makes_none(world: World) -> None:
    world.put("in/a", "in/b", "in/c")
    world.run("before", key_glob="in/a", job="j")
    assert world.outputs() == ["in/a"]
    states = world.run("preview", preview=True, items_per_call=2, job="j")
    assert states["dag_run"] == "success"
    assert {states[name] for name in TASKS[1:]} == {"skipped"}
    assert world.outputs() == ["in/a"]
    assert world.report()["listed"] == 1, "the preview wrote a run"
    shown = states["log"][states["log"].index('{"Records":[') :]
    event, length = json.JSONDecoder().raw_decode(shown)
    assert [record["s3"]["object"]["key"] for record in event["Records"]] == ["in/b", "in/c"]
    assert f"carries 2 items in {length:,} bytes" in states["log"]


ECHO = """
import json, os, boto3

def handle(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    body = json.dumps(event, separators=(",", ":"))
    s3.put_object(Bucket=os.environ["OUT"], Key="event", Body=body)
"""


@pytest.fixture
def echo(world: World, lambda_client: "LambdaClient") -> World:
    """The world, with a function that keeps the event that it received last."""
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", ECHO)
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=code.getvalue())
    return world


def received(world: World) -> str:
    answer = world.s3.get_object(Bucket=f"{world.bucket}-out", Key="event")
    return answer["Body"].read().decode()


def test_a_preview_shows_what_is_then_sent_byte_for_byte(echo: World) -> None:
    echo.put("in/caf\u00e9 +%25.txt", "in/b")
    log = echo.run("preview", preview=True, items_per_call=2, event="s3")["log"]
    shown = log[log.index('{"Records":[') :]
    _, length = json.JSONDecoder().raw_decode(shown)
    echo.run("real", items_per_call=2, event="s3")
    assert received(echo) == shown[:length]


def test_arguments_reach_the_function_as_they_are(echo: World) -> None:
    echo.put("in/a")
    arguments = {"a": "{{ 6*7 }}", "{{ 1/0 }}": ["{% raise %}", None]}
    assert echo.run(event="items", arguments=arguments)["dag_run"] == "success"
    assert json.loads(received(echo))["arguments"] == arguments


def test_a_source_without_objects_is_success(world: World) -> None:
    states = world.run()
    assert states["dag_run"] == "success"
    assert states["notify"] == "success"
    assert world.report()["listed"] == 0


def test_poison_is_quarantined_and_the_others_succeed_beside_live_traffic(
    world: World, lambda_client: "LambdaClient"
) -> None:
    world.put("in/a", "in/b", "in/poison", "in/c")
    lambda_client.put_function_concurrency(
        FunctionName=world.function, ReservedConcurrentExecutions=4
    )
    states = world.run(items_per_call=4, max_attempts=2, reserve_percent=50, event="s3")
    assert states["dag_run"] == "success"
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT concurrency_ceiling FROM retrofill.run")
        assert cur.fetchall() == [(2,)]
    report = world.report()
    assert (report["succeeded"], report["quarantined"]) == (3, 1)
    assert set(world.outputs()) == {"in/a", "in/b", "in/c"}


def test_what_is_in_quarantine_is_redriven_when_the_cause_is_mended(
    world: World, lambda_client: "LambdaClient"
) -> None:
    world.put("in/a", "in/poison/1", "in/poison/2", "in/poison/3")
    world.run(max_attempts=1, event="s3")
    assert world.report()["quarantined"] == 3
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT error_type FROM retrofill.v_quarantine")
        ((error_type,),) = cur.fetchall()

    nothing = world.run("nothing", redrive=True, redrive_error="Other*", event="s3")
    assert {name: nothing[name] for name in ("enqueue", "invoke", "notify", "dag_run")} == {
        "enqueue": "success", "invoke": "skipped", "notify": "success", "dag_run": "success",
    }  # fmt: skip
    assert "nothing was redriven" in nothing["log"]

    lambda_client.update_function_code(
        FunctionName=world.function, ZipFile=zipped(HANDLER.replace('"poison" in', '"3" in'))
    )
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=world.function)
    params = {
        "redrive": True, "redrive_error": error_type, "key_glob": "*[13]", "event": "s3",
        "max_attempts": 1, "max_items_per_set": 1,
    }  # fmt: skip
    first = world.run("again", **params)
    assert (first["next_set"], first["notify"]) == ("success", "skipped")
    run_id = world.report()["run_id"]
    second = world.run("following", **params, continue_run=run_id)
    assert (second["notify"], second["dag_run"]) == ("success", "success")
    report = world.report()
    counts = ("redriven", "succeeded", "quarantined", "items_left", "listed", "sets")
    assert [report[name] for name in counts] == [2, 1, 1, 0, 0, 2]
    assert (report["state"], report["unhandled"]) == ("complete", 1)
    assert world.outputs() == ["in/a", "in/poison/1"]


def test_what_cannot_be_redriven_is_said_before_anything_is_done(world: World) -> None:
    world.put("in/poison")
    world.run(max_attempts=1, event="s3", job="mine")
    for params, says in (
        ({"redrive": True}, "redrive: there is no job 's3://"),
        ({"redrive": True, "job": "mine", "prefix": "out/"}, "prefix: 'out/' of bucket"),
        ({"redrive": True, "job": "mine", "event": "items"}, "redrive: job 'mine' calls arn:"),
        ({"redrive_error": "X"}, "redrive_error: 'X'; allowed only with redrive"),
        ({"redrive": True, "min_size": 5}, "min_size: 5; not allowed with redrive"),
    ):
        states = world.run(**{"event": "s3", **params})
        assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
        assert says in states["log"]
    assert world.report()["quarantined"] == 1


def test_a_run_larger_than_a_set_asks_for_the_next_one_and_keeps_its_trigger(world: World) -> None:
    world.put("in/a", "in/b", "in/c")
    world.attach_trigger("")
    states = world.run(max_items_per_set=2, event="auto")
    world.s3.put_bucket_notification_configuration(
        Bucket=world.bucket, NotificationConfiguration={}
    )
    assert states["next_set"] == "success"
    assert states["notify"] == "skipped"
    report = world.report()
    assert (report["state"], report["succeeded"], report["partitions_left"]) == ("open", 2, 1)
    states = world.run(
        "following", max_items_per_set=2, event="auto", continue_run=report["run_id"]
    )
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
