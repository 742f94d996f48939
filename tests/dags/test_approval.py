"""Approval in the DAG: asked by Airflow's own task, answered by its REST API, or too late."""

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from retrofill.compat import SERIES

from tests.dags.answering import EXPIRE
from tests.dags.run_dag import REJECT
from tests.dags.test_retrofill import messages, subscribed
from tests.dags.world import HANDLER, TASKS, World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.skipif(SERIES < (3, 3), reason="its dag.test cannot wait for a person")

APPROVE = "Approve"
KEYS = ["in/a", "in/b", "in/c"]


def test_what_is_approved_is_called_and_the_report_says_by_whom(world: World) -> None:
    world.put(*KEYS)
    asked: list[str] = []

    def person(body: str) -> str:
        asked.append(body)
        assert world.outputs() == [], "it was called before it was approved"
        assert world.report()["approval"]["status"] == "waiting"
        return APPROVE

    states = world.run(person, approve=True)
    assert {name: states[name] for name in [*TASKS, "approve"]} == {
        **dict.fromkeys([*TASKS, "approve"], "success"), "next_set": "skipped"
    }  # fmt: skip
    assert states["dag_run"] == "success"
    assert world.outputs() == KEYS
    (body,) = asked
    assert "- listed: 3 (3 new, 0 known)" in body
    assert "- calls: 3 in 1 batch, exact" in body
    assert '"Records"' in body
    deadline, plan = body.split("\n", 1)
    assert deadline.startswith("- answer until: 2")
    assert plan in states["log"], "the log of plan_batches shows another plan"
    report = world.report()
    assert (report["status"], report["calls"], report["planned"]["calls"]) == ("complete", 3, 3)
    assert (report["approval"]["status"], report["approval"]["by"]) == ("approved", "Ada")
    assert report["approval"]["changed"] == 0
    assert "approval    approved by Ada at 2" in states["log"]


@pytest.mark.faults  # a run more beside its likes
def test_people_are_told_that_a_plan_waits_and_then_what_became_of_it(
    world: World, sns_client: "SNSClient", sqs_client: "SQSClient"
) -> None:
    world.put(*KEYS)
    topic, queue = subscribed(world, sns_client, sqs_client)
    told: list[dict[str, Any]] = []

    def person(_: str) -> str:
        told.extend(messages(sqs_client, queue))
        return REJECT

    world.run(person, approve=True, notify_sns_topic_arn=topic)
    (waits,) = told
    assert waits["status"] == "waits for your approval"
    assert "the plan waits for approval until 20" in waits["error"]
    assert "/runs/" in waits["link"]
    (report,) = messages(sqs_client, queue)
    assert (report["status"], report["withdrawn"]) == ("incomplete", 3)


def test_what_is_rejected_calls_nothing_and_is_new_again(world: World) -> None:
    world.put(*KEYS)
    states = world.run(lambda _: REJECT, approve=True)
    assert (states["approve"], states["invoke"]) == ("success", "skipped")
    assert (states["close_run"], states["notify"], states["dag_run"]) == ("failed",) * 3
    report = world.report()
    assert (report["status"], report["withdrawn"], report["items_left"], report["calls"]) == (
        "incomplete", 3, 0, 0,
    )  # fmt: skip
    assert report["stop_reason"].startswith("the plan was rejected by Ada at 2")
    assert world.outputs() == []

    assert world.run()["dag_run"] == "success"
    report = world.report()
    assert (report["status"], report["new"], report["succeeded"]) == ("complete", 3, 3)
    assert world.outputs() == KEYS


def test_what_nobody_approves_in_time_is_rejected(world: World) -> None:
    world.put(*KEYS)
    states = world.run(lambda _: EXPIRE, approve=True, approve_within_hours=1)
    assert (states["invoke"], states["dag_run"]) == ("skipped", "failed")
    report = world.report()
    assert (report["status"], report["withdrawn"]) == ("incomplete", 3)
    assert report["stop_reason"].startswith("nobody approved the plan by 2")
    assert report["approval"]["by"] == ""
    assert world.outputs() == []


def test_what_changed_since_the_plan_is_counted_and_not_called(world: World) -> None:
    world.put(*KEYS)

    def person(_: str) -> str:
        opened = datetime.fromisoformat(world.report()["opened_at"])
        for key in ("in/a", "in/new", "outside"):
            # S3 tells times in whole seconds.
            modified = opened
            while modified <= opened:
                world.put(key)
                modified = world.s3.head_object(Bucket=world.bucket, Key=key)["LastModified"]
        return APPROVE

    states = world.run(person, approve=True)
    assert states["dag_run"] == "success"
    assert world.outputs() == KEYS
    report = world.report()
    assert (report["listed"], report["calls"], report["approval"]["changed"]) == (3, 3, 2)
    assert "2 changed since the plan, not called" in states["log"]


def test_a_function_that_has_changed_since_is_not_called(
    world: World, lambda_client: "LambdaClient"
) -> None:
    world.put(*KEYS)

    def person(_: str) -> str:
        lambda_client.update_function_code(
            FunctionName=world.function, ZipFile=zipped(HANDLER + "\n# another")
        )
        return APPROVE

    states = world.run(person, approve=True)
    assert (states["approve"], states["invoke"]) == ("failed", "upstream_failed")
    assert states["dag_run"] == "failed"
    report = world.report()
    assert (report["status"], report["calls"], report["withdrawn"]) == ("incomplete", 0, 3)
    assert "code sha256 was" in report["stop_reason"]
    assert report["approval"]["status"] == "void"
    assert world.outputs() == []


@pytest.mark.faults  # a run more beside its likes
def test_nobody_is_asked_about_a_plan_that_calls_nothing(world: World) -> None:
    world.put(*KEYS)
    assert world.run()["dag_run"] == "success"

    def person(_: str) -> str:
        raise AssertionError

    states = world.run(person, approve=True)
    assert (states["approve"], states["invoke"], states["dag_run"]) == (
        "success", "skipped", "success",
    )  # fmt: skip
    assert world.report()["approval"] == {}


def test_a_run_that_asks_nobody_skips_the_task_without_a_process(world: World) -> None:
    world.put(*KEYS)
    states = world.run()
    assert (states["approve"], states["dag_run"]) == ("skipped", "success")
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT plan, approval FROM retrofill.run")
        assert cur.fetchall() == [(None, {})]
