"""Opening a run with real servers: what is refused before anything is written."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.model.errors import ConfigError
from retrofill.model.runs import SetRef, Window
from retrofill.pipeline.open_run import DagRun, open_run
from retrofill.sources import Interval
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.wiring import Wiring

from tests.dags.world import HANDLER, zipped
from tests.given import Given

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_numbers = count()
DAY = datetime(2026, 1, 2, tzinfo=UTC)
NO_INTERVAL = Interval(None, None)

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

    def open_one(interval: Interval = NO_INTERVAL, **params: object) -> SetRef:
        config = params_for("s3").config(usual | params)
        dag_run = DagRun("d", str(next(_numbers)))
        ref = open_run(conn, Wiring(Given(client)).plan(config, interval), dag_run)
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


def test_a_run_keeps_its_window_and_takes_nothing_from_after_its_opening(
    conn: connection, opened: Opened
) -> None:
    asked = {"modified_after": "2026-01-01T00:00:00Z", "use_data_interval": True}
    run = runs.get_run(
        conn, opened(interval=Interval(DAY, DAY + timedelta(days=1)), **asked).run_id
    )
    assert run.window == Window(
        after=DAY - timedelta(days=1),
        before=DAY + timedelta(days=1),
        start=DAY,
        opened=runs.get_report(conn, run.run_id).opened_at,
    )


@pytest.mark.parametrize("params", [{}, {"prefix": "in/2025/"}, {"prefix": ""}])
def test_a_longer_prefix_or_none_redrives_a_job_that_is_named(
    opened: Opened, params: dict[str, object]
) -> None:
    first = opened(job="mine")
    assert opened(job="mine", redrive=True, **params).run_id == first.run_id + 1
