"""Opening a run with real servers: what is refused before anything is written."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from psycopg2.extensions import connection
from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError
from retrofill.model.runs import SetRef
from retrofill.pipeline.open_run import DagRun, open_run, window_of
from retrofill.sources import open_source
from retrofill.state.connection import connect

from tests.dags.world import HANDLER, zipped

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
def opened(
    conn: connection, name: str, aws: str, aws_session: boto3.Session, s3_client: "S3Client"
) -> Opened:
    """Opens runs, each asked for as it is told."""
    usual = {"bucket": name, "prefix": "in/", "function": name, "event": "s3"}

    def client(service: str) -> Any:
        return aws_session.client(service, endpoint_url=aws)

    def open_one(**params: object) -> SetRef:
        config = RunConfig.from_params(usual | params)
        dag_run = DagRun(
            dag_id="d",
            dag_run_id=str(next(_numbers)),
            interval_start=None,
            interval_end=None,
        )
        source = open_source(config, s3_client, window_of(config, dag_run))
        return open_run(conn, config, dag_run, source, client)

    return open_one


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "redrive: there is no job 's3://"),
        ({"job": "mine", "prefix": "out/"}, "prefix: 'out/' of bucket"),
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
