"""Opening a run with real servers: what is refused before anything is written."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.model.errors import ConfigError
from retrofill.model.runs import SetRef
from retrofill.pipeline.open_run import DagRun, open_run
from retrofill.state.connection import connect
from retrofill.wiring import Wiring

from tests.dags.world import HANDLER, zipped
from tests.given import Given

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_numbers = count()

Opened = Callable[..., SetRef]


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture(scope="module")
def name(s3_client: "S3Client", lambda_client: "LambdaClient") -> str:
    """The name of a bucket, and of a function."""
    s3_client.create_bucket(Bucket="opened")
    lambda_client.create_function(
        FunctionName="opened",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="handler.handle",
        Code={"ZipFile": zipped(HANDLER)},
    )
    lambda_client.get_waiter("function_active_v2").wait(FunctionName="opened")
    return "opened"


@pytest.fixture
def opened(conn: connection, name: str, aws: str, aws_session: boto3.Session) -> Opened:
    """Opens runs, each asked for as it is told."""
    usual = {"bucket": name, "prefix": "in/", "function": name, "event": "s3"}

    def client(service: str) -> Any:
        return aws_session.client(service, endpoint_url=aws)

    def open_one(**params: object) -> SetRef:
        config = params_for("s3").config(usual | params)
        dag_run = DagRun("d", str(next(_numbers)))
        ref = open_run(conn, Wiring(Given(client)).plan(config), dag_run)
        assert ref is not None
        return ref

    return open_one


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "redrive: there is no job 's3://"),
        ({"job": "mine", "event": "items"}, "redrive: job 'mine' calls arn:"),
    ],
)
def test_what_cannot_be_redriven_opens_no_run(
    conn: connection, opened: Opened, params: dict[str, object], says: str
) -> None:
    opened(job="mine")
    with pytest.raises(ConfigError, match=says):
        opened(redrive=True, **params)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT (SELECT count(*) FROM retrofill.run), count(*) FROM retrofill.job")
        assert cur.fetchall() == [(1, 1)]


@pytest.mark.parametrize("params", [{}, {"prefix": "in/2025/"}, {"prefix": ""}])
def test_a_longer_prefix_or_none_redrives_a_job_that_is_named(
    opened: Opened, params: dict[str, object]
) -> None:
    first = opened(job="mine")
    assert opened(job="mine", redrive=True, **params).run_id == first.run_id + 1


def test_a_function_that_is_switched_off_is_refused(
    opened: Opened, lambda_client: "LambdaClient", name: str
) -> None:
    lambda_client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(ConfigError, match=r"^function: .*:opened' has a reserved concurrency"):
            opened()
    finally:
        lambda_client.delete_function_concurrency(FunctionName=name)


def test_mistakes_in_bucket_and_function_are_told_at_once(opened: Opened) -> None:
    with pytest.raises(ConfigError) as found:
        opened(bucket="not-there", function="nor-this")
    bucket, function = found.value.problems
    assert bucket.startswith("bucket: there is no bucket 'not-there'")
    assert function.startswith("function: ")
    assert "nor-this" in function
