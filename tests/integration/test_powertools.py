"""Responses of a function built on AWS's own batch processor, through the whole invoke stage."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.metadata import files
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.credentials import Credentials
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.functions.aws_lambda.client import invoke_client
from retrofill.model.delivery import Delivery
from retrofill.pipeline.deliver import compile_delivery
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.given import pinned
from tests.integration.opened import enqueue, item, keys_in, open_run

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient as FunctionApi

# It fails for the objects whose keys begin with "bad", as the processor tells Lambda by
# batchItemFailures; for each message it notes nothing, so what it did is known by its answer.
CODE = """
import json, os, urllib.parse
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor, EventType, process_partial_response)

raises = os.environ["RAISES"] == "yes"
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=raises)

def record_handler(record):
    for s3_record in json.loads(record.body)["Records"]:
        key = urllib.parse.unquote_plus(s3_record["s3"]["object"]["key"])
        if key.startswith("bad"):
            raise ValueError("will not do " + key)

def handler(event, context):
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context)
"""
DELIVERY = Delivery(
    event="s3-sqs",
    items_per_call=10,
    answer="batchItemFailures",
    trigger={"queue_arn": "arn:aws:sqs:us-east-1:000000000000:q"},
)
CONFIG = params_for("s3").config(
    {"bucket": "bucket", "prefix": "k", "function": "f", "max_attempts": 2}
)
_numbers = count()


def package() -> bytes:
    """Package the function with the library, like a deployment."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.py", CODE)
        for distribution in ("aws-lambda-powertools", "jmespath", "typing_extensions"):
            for file in files(distribution) or ():
                if file.suffix == ".py" and ".." not in file.parts:
                    archive.write(Path(str(file.locate())), str(file))
    return packed.getvalue()


@pytest.fixture(scope="module", params=["yes", "no"], ids=["raises", "lists-all"])
def function_arn(request: pytest.FixtureRequest, lambda_client: "FunctionApi") -> Iterator[str]:
    """A function whose processor raises, or not, when every message failed."""
    name = f"powertools-{next(_numbers)}"
    made = lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="index.handler",
        Code={"ZipFile": package()},
        Timeout=30,
        Environment={"Variables": {"RAISES": request.param, "POWERTOOLS_SERVICE_NAME": "photos"}},
    )
    yield made["FunctionArn"]
    lambda_client.delete_function(FunctionName=name)


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def invoke(dsn: str, conn: connection, aws: str, function_arn: str, keys: list[str]) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in sorted(keys)])
    batches.plan(conn, ref, 1, most_items=1_000, fewest_items=1_000)
    with closing(BatchLease(dsn, 1, "test")) as lease:
        take(lease, holder_is_dead=lambda _: True)
        run = runs.get_run(conn, ref.run_id)
        opened = invoke_client(
            endpoint_url=aws,
            region="us-east-1",
            credentials=Credentials("test", "test"),
            function_arn=function_arn,
            qualifier="$LATEST",
            deadline_s=40.0,
            max_in_flight=10,
        )
        with closing(opened) as client:
            Invoker(
                lease=lease,
                client=client,
                shape=compile_delivery(
                    CONFIG, DELIVERY, pinned(function_arn), job=run.job, run_id=1
                ),
                run=run._replace(
                    delivery=DELIVERY,
                    function=replace(run.function, version="$LATEST", timeout_s=30),
                ),
                config=CONFIG,
                stop_asked=lambda: False,
            ).run()


def calls(conn: connection) -> list[tuple[int, str, str]]:
    """Return items, outcome and error type of each call, in order."""
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT item_count, outcome::text, error_type FROM retrofill.v_call ORDER BY call_no"
        )
        return cur.fetchall()


def test_all_items_succeed(state_dsn: str, conn: connection, aws: str, function_arn: str) -> None:
    keys = [f"good-{number}" for number in range(10)]
    invoke(state_dsn, conn, aws, function_arn, keys)
    assert keys_in(conn, "results") == keys
    assert calls(conn) == [(10, "succeeded", "")]


def test_some_items_fail(state_dsn: str, conn: connection, aws: str, function_arn: str) -> None:
    good = [f"good-{number}" for number in range(7)]
    invoke(state_dsn, conn, aws, function_arn, [*good, "bad-1", "bad-2"])
    assert keys_in(conn, "results") == good
    assert keys_in(conn, "quarantine") == ["bad-1", "bad-2"]
    first, *others = calls(conn)
    assert first == (9, "succeeded", "")
    # Failed items are retried, without those that succeeded.
    assert sum(items for items, _, _ in others) >= 2
    assert all(items <= 2 for items, _, _ in others)


def test_all_items_fail(
    state_dsn: str,
    conn: connection,
    aws: str,
    function_arn: str,
    request: pytest.FixtureRequest,
) -> None:
    keys = [f"bad-{number}" for number in range(4)]
    invoke(state_dsn, conn, aws, function_arn, keys)
    assert keys_in(conn, "results") == []
    assert keys_in(conn, "quarantine") == keys
    with conn, conn.cursor() as cur:
        cur.execute("SELECT failures, error FROM retrofill.v_quarantine")
        quarantined = cur.fetchall()
    assert {failures for failures, _ in quarantined} == {2}
    errors = [error for _, error in quarantined]
    outcomes = {outcome for _, outcome, _ in calls(conn)}
    if "raises" in request.node.name:
        # A function error of the whole call: no item is blamed until it is alone.
        assert outcomes == {"failed"}
        assert all("All records failed processing" in error for error in errors)
        assert [items for items, _, _ in calls(conn)][:3] == [4, 2, 2]
    else:
        assert outcomes == {"succeeded"}
        assert set(errors) == {"listed in batchItemFailures"}


def test_the_library_can_read_the_event() -> None:
    shape = compile_delivery(
        CONFIG,
        DELIVERY,
        pinned("arn:aws:lambda:us-east-1:000000000000:function:f"),
        job="j",
        run_id=1,
    )
    event = json.loads(shape.body([item("k")]))
    assert json.loads(event["Records"][0]["body"])["Records"][0]["s3"]["object"]["key"] == "k"
