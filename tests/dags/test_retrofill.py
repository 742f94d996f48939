"""The DAG itself: what a person sees of it, and whole runs of it in one process."""

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.dags.world import HANDLER, TASKS, World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


def subscribed(world: World, sns_client: "SNSClient", sqs_client: "SQSClient") -> tuple[str, str]:
    """Make a topic and a queue that gets what is published to it."""
    topic = sns_client.create_topic(Name=world.bucket)["TopicArn"]
    queue = sqs_client.create_queue(QueueName=world.bucket)["QueueUrl"]
    queue_arn = sqs_client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns_client.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"]
    )
    return topic, queue


def messages(sqs_client: "SQSClient", queue: str) -> list[dict[str, Any]]:
    """Take what a queue has of notifications."""
    found = sqs_client.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", [])
    for one in found:
        sqs_client.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
    return [json.loads(json.loads(one["Body"])["Message"]) for one in found]


def test_every_object_is_called_once_and_the_second_run_calls_nothing(
    world: World, sns_client: "SNSClient", sqs_client: "SQSClient"
) -> None:
    keys = ["in/plain.txt", "in/with space+plus%25.txt", "in/ünïcode/✓.txt", "in/line\nbreak"]
    world.put(*keys, "outside.txt")
    topic, queue = subscribed(world, sns_client, sqs_client)

    states = world.run(notify_sns_topic_arn=topic)

    assert {name: states[name] for name in TASKS} == {
        **dict.fromkeys(TASKS, "success"), "next_set": "skipped"
    }  # fmt: skip
    assert states["dag_run"] == "success"
    assert world.outputs() == sorted(keys)
    report = world.report()
    assert report["status"] == "complete"
    counts = ("listed", "new", "known", "succeeded", "quarantined", "calls", "items_left")
    assert [report[name] for name in counts] == [4, 4, 0, 4, 0, 4, 0]
    (sent,) = messages(sqs_client, queue)
    assert (sent["succeeded"], sent["calls"], sent["status"]) == (4, 4, "complete")
    assert report["notified_at"] is not None
    assert "no note is written: there is no connection retrofill_airflow" in states["log"]

    again = world.run()
    assert again["dag_run"] == "success"
    report = world.report()
    assert [report[name] for name in counts] == [4, 0, 4, 0, 0, 0, 0]
    assert world.outputs() == sorted(keys)


def test_the_live_trigger_is_found_and_its_filter_kept(world: World) -> None:
    world.put("in/a.jpg", "in/b.txt", "in/c.jpg")
    world.attach_trigger(".jpg")
    states = world.run(event="auto")
    assert states["dag_run"] == "success"
    assert "live trigger: s3 via bucket notification new-objects" in states["log"]
    assert world.outputs() == ["in/a.jpg", "in/c.jpg"]
    report = world.report()
    assert (report["listed"], report["left_out"], report["succeeded"]) == (2, {"filtered": 1}, 2)


def test_without_a_live_trigger_auto_is_refused_before_anything_is_done(world: World) -> None:
    world.put("in/a")
    states = world.run(event="auto")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert "there is no live trigger" in states["log"]
    assert re.search(r"see the log of open_run\s+event: .*there is no live trigger", states["log"])
    assert "from bucket 'world-" in states["log"]
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.job")
        assert cur.fetchone() == (0,)


def test_a_preview_shows_the_first_call_and_makes_none(world: World) -> None:
    world.put("in/a", "in/b", "in/c")
    world.run(key_glob="in/a", job="j")
    assert world.outputs() == ["in/a"]
    states = world.run(preview=True, items_per_call=2, job="j")
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
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=zipped(ECHO))
    return world


def received(world: World) -> str:
    answer = world.s3.get_object(Bucket=f"{world.bucket}-out", Key="event")
    return answer["Body"].read().decode()


def test_a_preview_shows_what_is_then_sent_byte_for_byte(echo: World) -> None:
    echo.put("in/caf\u00e9 +%25.txt", "in/b")
    log = echo.run(preview=True, items_per_call=2, event="s3")["log"]
    shown = log[log.index('{"Records":[') :]
    _, length = json.JSONDecoder().raw_decode(shown)
    echo.run(items_per_call=2, event="s3")
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
        cur.execute("SELECT limits->'concurrency_ceiling' FROM retrofill.run")
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

    nothing = world.run(redrive="quarantine", redrive_error="Other*", event="s3")
    assert (nothing["open_run"], nothing["dag_run"]) == ("failed", "failed")
    assert "matches the selection (quarantine: error Other*" in nothing["log"]
    assert "so no run is opened" in nothing["log"]

    lambda_client.update_function_code(
        FunctionName=world.function, ZipFile=zipped(HANDLER.replace('"poison" in', '"3" in'))
    )
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=world.function)
    params = {
        "redrive": "quarantine", "redrive_error": error_type, "key_glob": "*[13]", "event": "s3",
        "max_attempts": 1, "max_items_per_set": 1,
    }  # fmt: skip
    first = world.run(**params)
    assert (first["next_set"], first["notify"]) == ("success", "skipped")
    second = world.run_next_set()
    assert (second["notify"], second["dag_run"]) == ("success", "success")
    report = world.report()
    counts = ("redriven", "succeeded", "quarantined", "items_left", "listed", "sets")
    assert [report[name] for name in counts] == [2, 1, 1, 0, 0, 2]
    assert (report["status"], report["unhandled"]) == ("complete", 1)
    assert world.outputs() == ["in/a", "in/poison/1"]


def test_what_cannot_be_redriven_is_said_before_anything_is_done(world: World) -> None:
    world.put("in/a")
    states = world.run(redrive="quarantine")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert "redrive: there is no job 's3://" in states["log"]
    assert world.outputs() == []


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
    assert (report["status"], report["succeeded"], report["partitions_left"]) == ("open", 2, 1)
    states = world.run_next_set()
    assert (states["next_set"], states["notify"]) == ("skipped", "success")
    report = world.report()
    assert (report["status"], report["succeeded"], report["sets"]) == ("complete", 3, 2)
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


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({"preview": True}, "'preview'"),
        ({"max_calls": 1, "function": "another"}, "'function', 'max_calls'"),
        ({"no_such_param": 1}, "'no_such_param'"),
    ],
)
def test_an_airflow_that_ignores_what_a_dag_run_asks_for_makes_no_call(
    world: World, conf: dict[str, object], named: str
) -> None:
    world.put("in/a")
    states = world.run_job(conf, AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS="False")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert f"{named}: this Airflow ignores" in states["log"]
    assert "[core] dag_run_conf_overrides_params = False" in states["log"]
    assert world.outputs() == []


def test_with_conf_ignored_a_job_runs_as_its_file_says(world: World) -> None:
    world.put("in/a")
    hardened = {"AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS": "False"}
    assert world.run_job({"prefix": "in/"}, **hardened)["dag_run"] == "success"
    assert world.outputs() == ["in/a"]


def test_who_is_to_be_notified_hears_why_a_run_was_refused(
    world: World, sns_client: "SNSClient", sqs_client: "SQSClient"
) -> None:
    topic, queue = subscribed(world, sns_client, sqs_client)
    states = world.run(notify_sns_topic_arn=topic, min_size=9, max_size=8, items_per_cal=1)
    assert (states["open_run"], states["notify"], states["dag_run"]) == ("failed",) * 3
    (sent,) = messages(sqs_client, queue)
    assert sent["status"] == "did not start"
    assert "min_size: 9 bytes is more than max_size" in sent["error"]
    assert "items_per_cal: there is no such param" in sent["error"]

    states = world.run(notify_sns_topic_arn=topic, bucket="no-such-bucket")
    assert states["dag_run"] == "failed"
    (sent,) = messages(sqs_client, queue)
    assert "there is no bucket 'no-such-bucket'" in sent["error"]


def test_who_is_to_be_notified_hears_of_a_state_that_cannot_be_used(
    world: World, sns_client: "SNSClient", sqs_client: "SQSClient"
) -> None:
    world.environment["AIRFLOW_CONN_RETROFILL_STATE"] = "mysql://elsewhere/retrofill"
    topic, queue = subscribed(world, sns_client, sqs_client)
    states = world.run(notify_sns_topic_arn=topic)
    assert (states["open_run"], states["notify"], states["dag_run"]) == ("failed",) * 3
    (sent,) = messages(sqs_client, queue)
    assert sent["status"] == "did not start"
    assert "is of type 'mysql'" in sent["error"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"notify_conn_id": "nobody"}, "notify_conn_id: Airflow has no connection 'nobody'"),
        (
            {"notify_conn_id": "aws_default"},
            "notify_conn_id: the connection 'aws_default' is of type 'aws'; give one of type",
        ),
        (
            {"notify_sns_topic_arn": "arn:aws:sns:us-east-1:000000000000:nobody"},
            "notify_sns_topic_arn: there is no topic arn:aws:sns:us-east-1:000000000000:nobody",
        ),
    ],
)
def test_a_target_that_is_not_there_is_said_before_anything_is_done(
    world: World, params: dict[str, object], says: str
) -> None:
    world.put("in/a")
    states = world.run(**params)
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert says in states["log"]
    assert world.outputs() == []


def test_a_bucket_that_is_not_there_fails_the_run_at_once(world: World) -> None:
    states = world.run(bucket="no-such-bucket")
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    assert "there is no bucket 'no-such-bucket'" in states["log"]


def test_a_run_that_has_spent_its_budget_stops_and_the_next_one_goes_on(world: World) -> None:
    keys = [f"in/{number}" for number in range(6)]
    world.put(*keys)
    states = world.run(max_cost=2.5, price_per_item=1, max_concurrency=1)
    assert (states["invoke"], states["dag_run"]) == ("failed", "failed")
    report = world.report()
    assert report["stop_reason"] == "max_cost: $3.00 of $2.50 were spent"
    assert (report["succeeded"], report["items_left"], report["status"]) == (3, 3, "incomplete")
    assert 3.0 < report["cost"] < 3.01
    assert report["cost_from_above"] == report["cost"], "the emulator does not say what it bills"
    assert report["cost_by_term"]["items"] == 3.0
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT count(took_ms) FROM retrofill.v_call")
        assert cur.fetchone() == (3,)
    assert world.run()["dag_run"] == "success"
    assert world.outputs() == keys
