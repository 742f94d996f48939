"""DAG runs that redrive: successes of one version, and a group in quarantine."""

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.dags.world import HANDLER, World, zipped
from tests.invariants import check

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.faults
JOB: dict[str, Any] = {"job": "job", "event": "s3"}


def publish(world: World, lambda_client: "LambdaClient", handler: str) -> str:
    """Publish a version of the function; return its number."""
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=zipped(handler))
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=world.function)
    return lambda_client.publish_version(FunctionName=world.function)["Version"]


def test_only_items_processed_by_one_version_are_redriven(
    world: World, lambda_client: "LambdaClient"
) -> None:
    versions = [publish(world, lambda_client, f"{HANDLER}\n# {number}\n") for number in range(3)]
    world.put("in/a", "in/b")
    assert world.run(**JOB, qualifier=versions[0])["dag_run"] == "success"
    world.put("in/c")
    assert world.run(**JOB, qualifier=versions[1])["dag_run"] == "success"
    assert world.outputs() == ["in/a", "in/b", "in/c"]

    asked = {**JOB, "redrive": "successes", "redrive_version": versions[0]}
    again = world.run(**asked, qualifier=versions[2], redrive_note="it returned 200")
    assert (again["enqueue"], again["dag_run"]) == ("success", "success")
    # According to the function's own traces.
    executed = Counter({"in/a": 2, "in/b": 2, "in/c": 1})
    assert Counter(world.outputs()) == executed
    report = world.report()
    counts = ("listed", "new", "known", "redriven", "succeeded", "items_left")
    assert [report[name] for name in counts] == [3, 0, 3, 2, 2, 0]
    assert check(world.dsn, "job", executed=executed, succeeded=executed, poison=[]) == []
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT selection, note, counted FROM retrofill.redrive")
        assert cur.fetchall() == [
            ({"place": "successes", "version": versions[0]}, "it returned 200", 2)
        ]

    nothing = world.run(**asked, qualifier=versions[2])
    assert (nothing["open_run"], nothing["dag_run"]) == ("failed", "failed")
    assert "of job 'job' matches the selection" in nothing["log"]
    assert Counter(world.outputs()) == executed


def test_one_group_in_quarantine_is_redriven_and_the_other_stays(
    world: World, lambda_client: "LambdaClient"
) -> None:
    fails = '        if "poison" in key:\n            raise ValueError("poison: " + key)\n'
    # MiniStack names timeouts ExitError, and all exceptions HandlerError.
    other = '        if "odd" in key:\n            raise TimeoutError("timed out: " + key)\n'
    publish(world, lambda_client, HANDLER.replace(fails, fails + other))
    world.put("in/a", "in/odd/1", "in/poison/1", "in/poison/2")
    world.run(**JOB, max_attempts=1)
    publish(world, lambda_client, HANDLER.replace(fails, ""))
    again = world.run(**JOB, redrive="quarantine", redrive_error="*.HandlerError")
    assert again["dag_run"] == "success"
    assert world.outputs() == ["in/a", "in/poison/1", "in/poison/2"]
    with closing(psycopg2.connect(world.dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT item_key, error_type FROM retrofill.v_quarantine")
        assert cur.fetchall() == [("in/odd/1", "Runtime.ExitError")]
        cur.execute("SELECT counted FROM retrofill.redrive")
        assert cur.fetchall() == [(2,)]
