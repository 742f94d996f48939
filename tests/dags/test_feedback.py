"""The three shapes in which a function feeds its own source, with one that really writes there."""

from typing import TYPE_CHECKING

import pytest

from tests.dags.world import World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

OBJECTS = 20

FEEDS_ITSELF = """
import os, urllib.parse
import boto3

def handle(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        for name in os.environ["NAMES"].split():
            folder, _, own = key.rpartition("/")
            output = name.replace("FOLDER", folder).replace("KEY", own)
            s3.put_object(Bucket=bucket, Key=output, Body=b"1")
        s3.put_object(Bucket=os.environ["OUT"], Key=context.aws_request_id + "/" + key, Body=b"1")
"""


@pytest.fixture
def feeds(world: World, lambda_client: "LambdaClient") -> World:
    """The world, with objects and a function that can be told what else it writes for each."""
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=zipped(FEEDS_ITSELF))
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=world.function)
    world.put(*(f"in/{number:02}.jpg" for number in range(OBJECTS)))
    return world


def write(world: World, lambda_client: "LambdaClient", names: str) -> None:
    """Have the function write objects of these names for each that it is called with."""
    found = lambda_client.get_function_configuration(FunctionName=world.function)
    variables = found["Environment"]["Variables"] | {"NAMES": names}
    lambda_client.update_function_configuration(
        FunctionName=world.function, Environment={"Variables": variables}
    )
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=world.function)


def stopped(world: World, states: dict[str, str], what: str) -> None:
    """Check that a run has stopped before it called anything, and has said so."""
    assert (states["plan_batches"], states["dag_run"]) == ("failed", "failed")
    report = world.report()
    assert (report["status"], report["items_left"]) == ("incomplete", 0)
    assert report["stop_reason"].startswith(f"the function seems to feed its own source: {what}")
    assert report["stop_reason"] in states["log"]


def test_outputs_behind_the_cursor_stop_the_run_at_its_next_set(
    feeds: World, lambda_client: "LambdaClient"
) -> None:
    write(feeds, lambda_client, "FOLDER/z/KEY.out")
    first = feeds.run(max_items_per_set=10)
    assert (first["next_set"], first["notify"]) == ("success", "skipped")
    second = feeds.run_next_set()
    stopped(feeds, second, "10 of 10 items modified after it was opened")
    report = feeds.report()
    assert (report["calls"], report["succeeded"], report["withdrawn"]) == (10, 10, 10)
    assert len(feeds.outputs()) == 10, "calls that the function saw"

    filtered = feeds.run(key_glob="*.jpg")
    assert filtered["dag_run"] == "success"
    assert feeds.report()["succeeded"] == 10, "those that were withdrawn"
    assert feeds.outputs() == [f"in/{number:02}.jpg" for number in range(OBJECTS)]


@pytest.mark.faults  # five runs each
@pytest.mark.parametrize(
    ("names", "outputs"),
    [("out/KEY", 1), ("FOLDER/KEY.json FOLDER/KEY-small.webp", 2)],
    ids=["outputs of the next run", "two outputs an object"],
)
def test_outputs_of_the_previous_run_are_not_called(
    feeds: World, lambda_client: "LambdaClient", names: str, outputs: int
) -> None:
    write(feeds, lambda_client, names)
    params = {"prefix": "", "whole_bucket": True, "job": "whole"}
    assert feeds.run(**params)["dag_run"] == "success"
    assert len(feeds.outputs()) == OBJECTS
    feeds.put("in/new.jpg")
    made = OBJECTS * outputs
    for _ in range(2):
        stopped(feeds, feeds.run(**params), f"{made} of {made + 1} new items have the names")
        report = feeds.report()
        assert (report["new"], report["withdrawn"], report["calls"]) == (made + 1, made + 1, 0)
    assert len(feeds.outputs()) == OBJECTS, "calls that the function saw"

    assert feeds.run(**params, key_glob="in/*.jpg")["dag_run"] == "success"
    assert len(feeds.outputs()) == OBJECTS + 1
    assert feeds.run(**params, allow_feedback=True)["dag_run"] == "success"
    assert feeds.report()["succeeded"] == made + outputs
