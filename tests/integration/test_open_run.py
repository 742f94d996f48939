"""Opening runs with real servers: refusals come before anything is written."""

import json
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
from retrofill.model.runs import DagRun, SetRef, Window
from retrofill.pipeline.open_run import open_run
from retrofill.sources import Interval
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.wiring import Wiring

from tests.dags.world import HANDLER, zipped
from tests.given import Given
from tests.integration.raw_server import RawServer, Request, http_answer

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
    """The name of a bucket and of a function."""
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
    """Opens runs with given params."""
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
def test_a_bad_redrive_opens_no_run(
    conn: connection, opened: Opened, params: dict[str, object], says: str
) -> None:
    opened(job="mine")
    with pytest.raises(ConfigError, match=says):
        opened(redrive="quarantine", **params)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT (SELECT count(*) FROM retrofill.run), count(*) FROM retrofill.job")
        assert cur.fetchall() == [(1, 1)]


def test_a_run_calls_the_alias_that_the_live_trigger_calls(
    conn: connection,
    opened: Opened,
    name: str,
    lambda_client: "LambdaClient",
    s3_client: "S3Client",
) -> None:
    version = lambda_client.publish_version(FunctionName=name)["Version"]
    alias = lambda_client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    s3_client.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": alias["AliasArn"], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    for asked, called in (({}, "live"), ({"qualifier": version}, version)):
        function = runs.get_run(conn, opened(event="auto", **asked).run_id).function
        assert (function.version, function.facts["qualifier"]) == (version, called)


def test_each_tenant_has_jobs_of_its_own(
    conn: connection, name: str, aws: str, aws_session: boto3.Session
) -> None:
    found = {
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Version": "$LATEST",
        "Timeout": 3,
        "MemorySize": 128,
        "CodeSha256": "c",
        "TenancyConfig": {"TenantIsolationMode": "PER_TENANT"},
    }

    def answer(request: Request) -> bytes:
        if "/invocations" in request.line:  # the dry run
            return http_answer(b"", status="204 No Content")
        return http_answer(json.dumps(found if "/configuration" in request.line else {}).encode())

    with RawServer(answer) as functions:
        urls = {"lambda": functions.url, "s3": aws}
        wiring = Wiring(Given(lambda kind: aws_session.client(kind, endpoint_url=urls[kind])))

        def open_for(tenant_id: str, **params: str) -> None:
            asked = {"bucket": name, "prefix": "in/", "function": "f", "event": "s3"}
            config = params_for("s3").config(asked | {"tenant_id": tenant_id} | params)
            open_run(conn, wiring.plan(config), DagRun("d", str(next(_numbers))))

        open_for("blue")
        open_for("green")
        open_for("blue", job="mine")
        with pytest.raises(ConfigError, match=r"'mine' was made for .* for blue .* for green"):
            open_for("green", job="mine")
    with conn, conn.cursor() as cur:
        cur.execute("SELECT name FROM retrofill.job ORDER BY job_id")
        names = [row[0].partition(" → ")[2] for row in cur.fetchall()]
    assert names == ["f for blue", "f for green", ""]


def test_a_run_keeps_its_window_and_skips_later_objects(conn: connection, opened: Opened) -> None:
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


def test_a_run_for_an_unfinished_interval_is_refused(opened: Opened) -> None:
    start = datetime.now(UTC) - timedelta(hours=12)
    with pytest.raises(ConfigError, match=r"^use_data_interval: the interval .* is in the future"):
        opened(interval=Interval(start, start + timedelta(days=1)), use_data_interval=True)


@pytest.mark.parametrize("params", [{}, {"prefix": "in/2025/"}, {"prefix": ""}])
def test_a_named_job_is_redriven_with_a_longer_prefix_or_without(
    conn: connection, opened: Opened, params: dict[str, object]
) -> None:
    first = opened(job="mine")
    with pytest.raises(ConfigError, match=r"^redrive: nothing in quarantine of job 'mine' m"):
        opened(job="mine", redrive="quarantine", **params)
    with conn, conn.cursor() as cur:
        cur.execute(
            "INSERT INTO retrofill.quarantine SELECT 1, 'in/2025/a', md5('a')::uuid, 1, 1, 1, 1,"
            " '', 3, 3, false, 'r', 'E', 'no', now()"
        )
    assert opened(job="mine", redrive="quarantine", **params).run_id == first.run_id + 1


def test_a_disabled_function_is_refused(
    opened: Opened, lambda_client: "LambdaClient", name: str
) -> None:
    lambda_client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(ConfigError, match=r"^function: .*:opened' has a reserved concurrency"):
            opened()
    finally:
        lambda_client.delete_function_concurrency(FunctionName=name)


def test_mistakes_in_bucket_and_function_are_reported_together(opened: Opened) -> None:
    with pytest.raises(ConfigError) as found:
        opened(bucket="not-there", function="nor-this")
    bucket, function = found.value.problems
    assert bucket.startswith("bucket: there is no bucket 'not-there'")
    assert function.startswith("function: ")
    assert "nor-this" in function


def test_max_cost_needs_a_known_price(
    conn: connection, name: str, aws: str, aws_session: boto3.Session
) -> None:
    found = {
        "FunctionArn": "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f",
        "Version": "$LATEST",
        "Timeout": 3,
        "MemorySize": 128,
        "Architectures": ["arm64"],
        "CodeSha256": "c",
    }

    def answer(request: Request) -> bytes:
        if "/invocations" in request.line:  # the dry run
            return http_answer(b"", status="204 No Content")
        return http_answer(json.dumps(found if "/configuration" in request.line else {}).encode())

    with RawServer(answer) as functions:
        urls = {"lambda": functions.url, "s3": aws}
        wiring = Wiring(Given(lambda kind: aws_session.client(kind, endpoint_url=urls[kind])))
        asked = {"bucket": name, "prefix": "in/", "function": "f", "event": "s3", "max_cost": 5}
        with pytest.raises(
            ConfigError,
            match=r"^max_cost: 5\.0 needs the cost of a call, which is not known \(us-gov-west-1,"
            r" arm64, 128 MB: no published price is known\);"
            r" give price_per_call and price_per_gb_second, or",
        ):
            wiring.plan(params_for("s3").config(asked))
        given = asked | {"price_per_call": 0.5, "price_per_gb_second": 0.125}
        plan = wiring.plan(params_for("s3").config(given))
        ref = open_run(conn, plan, DagRun("d", str(next(_numbers))))
    assert ref is not None
    run = runs.get_run(conn, ref.run_id)
    assert (run.price.per_call, run.price.per_second) == (0.5, 0.125 / 8)
    assert run.price == plan.price
    assert runs.get_report(conn, ref.run_id).cost == 0.0


def test_a_run_opens_with_the_published_price(conn: connection, opened: Opened) -> None:
    price = runs.get_run(conn, opened(max_cost=5).run_id).price
    assert price.is_known
    assert price.words == "us-east-1, x86_64, 128 MB, prices of October 2025"
