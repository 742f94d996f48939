"""The scripted endpoint against the real clients, and its faults against raw sockets."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mypy_boto3_lambda import LambdaClient
from mypy_boto3_s3 import S3Client

from stack.endpoint import (
    Bucket,
    EndpointError,
    Function,
    GeneratedObjects,
    Operation,
    Reply,
    Rule,
    S3Object,
    Script,
    ScriptedEndpoint,
    Span,
    Wire,
    generated_object,
    render_script,
    scripted_endpoint,
)

ROOT = Path(__file__).parents[2]
ONE_CALL = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    read_timeout=60,
    connect_timeout=60,
)
IMPATIENT = ONE_CALL.merge(Config(read_timeout=0.5))
QUICK = 0.001
GRACE_SECONDS = 20.0

ODD_KEYS = [
    "a b",
    " leading and trailing ",
    "a+b",
    "a%2Bb",
    "a%20b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x01b",
    "\U0001f600",
    "\u00e9",
    "e\u0301",
    "a/../b",
    "//",
    "q\"'<>&",
    "שלום",
    "x" * 1024,
    "é" * 512,
    "~*!()'-._",
]


def client(kind: str, endpoint: ScriptedEndpoint, config: Config = ONE_CALL, **more: Any) -> Any:
    return boto3.client(
        kind,  # type: ignore[call-overload]
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - no secret
        config=config,
        **more,
    )


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint() as running:
        yield running


@pytest.fixture
def follow(endpoint: ScriptedEndpoint) -> Callable[[Script], ScriptedEndpoint]:
    """Return what makes the endpoint follow a script, with its counts at 0."""

    def follow_from_now(script: Script) -> ScriptedEndpoint:
        endpoint.script(script)
        endpoint.reset()
        return endpoint

    return follow_from_now


@pytest.fixture(scope="module")
def functions(endpoint: ScriptedEndpoint) -> LambdaClient:
    made: LambdaClient = client("lambda", endpoint)
    return made


@pytest.fixture(scope="module")
def buckets(endpoint: ScriptedEndpoint) -> S3Client:
    made: S3Client = client("s3", endpoint)
    return made


Follow = Callable[[Script], ScriptedEndpoint]


def s3_event(*keys: str) -> bytes:
    records = [{"s3": {"object": {"key": quote_plus(key, safe="/")}}} for key in keys]
    return json.dumps({"Records": records}).encode()


def always(reply: Reply, **when: Any) -> Script:
    return Script(latency=QUICK, rules=(Rule(reply=reply, **when),))


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether it comes true; long enough that only a fault makes it False."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# Invoke, as it should be.


def test_an_invocation_is_answered_as_lambda_does(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK, answer='{"ok": true}'))
    answer = functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {"ok": True}
    identifier = answer["ResponseMetadata"]["RequestId"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier)
    again = functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    assert again["ResponseMetadata"]["RequestId"] != identifier
    assert endpoint.items() == {"a b": 2}


@pytest.mark.parametrize(
    ("name", "qualifier", "version"),
    [
        ("scripted", None, "$LATEST"),
        ("scripted", "$LATEST", "$LATEST"),
        ("scripted", "2", "2"),
        ("scripted:live", None, "2"),
        ("000000000000:function:scripted", "1", "1"),
        ("arn:aws:lambda:us-east-1:000000000000:function:scripted", "live", "2"),
        ("arn:aws:lambda:us-east-1:000000000000:function:scripted:1", "1", "1"),
    ],
)
def test_a_function_goes_by_many_names(
    follow: Follow, functions: LambdaClient, name: str, qualifier: str | None, version: str
) -> None:
    function = Function(versions=("1", "2"), aliases={"live": "2"}, timeout_seconds=9)
    follow(Script(latency=QUICK, functions=(function,)))
    qualified = {} if qualifier is None else {"Qualifier": qualifier}
    answer = functions.invoke(FunctionName=name, **qualified)  # type: ignore[arg-type]
    assert answer["ExecutedVersion"] == version
    told = functions.get_function_configuration(FunctionName=name, **qualified)
    assert (told["Version"], told["State"], told["Timeout"]) == (version, "Active", 9)
    assert told["FunctionArn"].startswith("arn:aws:lambda:us-east-1:000000000000:function:scripted")
    whole = functions.get_function(FunctionName=name, **qualified)
    assert whole["Configuration"]["CodeSha256"] == told["CodeSha256"]


@pytest.mark.parametrize("name", ["missing", "scripted:9", "scripted:nolive"])
def test_an_unknown_function_is_not_found(
    follow: Follow, functions: LambdaClient, name: str
) -> None:
    endpoint = follow(Script())
    with pytest.raises(functions.exceptions.ResourceNotFoundException) as caught:
        functions.invoke(FunctionName=name)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert answer["Error"]["Message"].startswith("Function not found: arn:aws:lambda:")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function_configuration(FunctionName=name)
    assert endpoint.stats().executions == 0


def test_dry_runs_and_events(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    dry = functions.invoke(FunctionName="scripted", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    assert endpoint.stats().executions == 0
    event = functions.invoke(FunctionName="scripted", InvocationType="Event", Payload=s3_event("a"))
    assert event["StatusCode"] == 202
    assert endpoint.items() == {"a": 1}
    assert eventually(lambda: endpoint.stats().in_flight == 0)
    assert endpoint.stats().by_operation == {"dry_run": 1, "invoke": 1}


def test_what_lambda_itself_refuses(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_455 + b'"')
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(
            FunctionName="scripted",
            InvocationType="Event",
            Payload=b'"' + b"x" * 1_048_576 + b'"',
        )
    with pytest.raises(functions.exceptions.InvalidRequestContentException):
        functions.invoke(FunctionName="scripted", Payload=b"{")
    assert endpoint.stats().executions == 0
    answer = functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_454 + b'"')
    assert answer["StatusCode"] == 200


def test_the_log_tail_comes_if_asked_for(follow: Follow, functions: LambdaClient) -> None:
    follow(Script(latency=QUICK))
    answer = functions.invoke(FunctionName="scripted", LogType="Tail")
    assert answer["LogResult"]
    assert "LogResult" not in functions.invoke(FunctionName="scripted")


def test_other_reads(follow: Follow, functions: LambdaClient) -> None:
    follow(Script(functions=(Function(reserved_concurrency=7),), unreserved_concurrency=700))
    told = functions.get_function_concurrency(FunctionName="scripted")
    assert told["ReservedConcurrentExecutions"] == 7
    account = functions.get_account_settings()["AccountLimit"]
    assert account["ConcurrentExecutions"] == 1000
    assert account["UnreservedConcurrentExecutions"] == 700
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []


# Scripted errors.


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(error="ServiceException"), 500, "ServiceException"),
        (Reply(error="EC2ThrottledException"), 502, "EC2ThrottledException"),
        (Reply(error="ResourceConflictException"), 409, "ResourceConflictException"),
        (Reply(error="EFSIOException"), 410, "EFSIOException"),
        (Reply(error="AccessDeniedException"), 403, "AccessDeniedException"),
        (Reply(error="NewException", status=418), 418, "NewException"),
        (Reply(error="ServiceException", status=503), 503, "ServiceException"),
        (Reply(status=504, body="<html>Gateway Timeout</html>"), 504, "504"),
    ],
)
def test_errors_come_as_boto_knows_them(
    follow: Follow, functions: LambdaClient, reply: Reply, status: int, code: str
) -> None:
    endpoint = follow(always(reply))
    with pytest.raises(ClientError) as caught:
        functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    stats = endpoint.stats()
    assert (stats.invocations, stats.executions) == (1, 0)
    assert endpoint.items() == {}
    assert endpoint.items(of="received") == {"a": 1}


def test_a_throttle_has_reason_and_retry_after(follow: Follow, functions: LambdaClient) -> None:
    reply = Reply(
        error="TooManyRequestsException",
        reason="ReservedFunctionConcurrentInvocationLimitExceeded",
        retry_after_seconds=3,
        extra={"more": [1]},
        headers={"X-More": "yes"},
    )
    follow(always(reply))
    with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
        functions.invoke(FunctionName="scripted")
    answer: Any = caught.value.response
    assert answer["Reason"] == reply.reason
    assert answer["retryAfterSeconds"] == "3"
    assert answer["Type"] == "User"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-more"] == "yes"


def test_a_failing_function_answers_200(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(always(Reply(function_error="Sandbox.Timedout"), keys=frozenset({"poison"})))
    good = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "b"))
    assert "FunctionError" not in good
    bad = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "poison"))
    assert bad["FunctionError"] == "Unhandled"
    told = json.loads(bad["Payload"].read())
    assert told["errorType"] == "Sandbox.Timedout"
    assert told["errorMessage"].endswith("Task timed out after 60.00 seconds")
    assert endpoint.items() == {"a": 2, "b": 1, "poison": 1}
    assert endpoint.items(above=1) == {"a": 2}
    assert endpoint.stats().by_outcome == {
        "invoke 200": 1,
        "invoke 200 Unhandled Sandbox.Timedout": 1,
    }
    assert (endpoint.stats().running, endpoint.stats().in_flight) == (0, 0)


def test_a_body_is_sent_byte_for_byte(follow: Follow, functions: LambdaClient) -> None:
    for body in ("", "null", "<html>", '{"a":1,"a":2}', "NaN", "x" * 3_000_000, "é\r\n\0"):
        follow(always(Reply(body=body)))
        answer = functions.invoke(FunctionName="scripted")
        assert answer["Payload"].read() == body.encode()


def test_items_fail_through_the_answer_contracts(follow: Follow, functions: LambdaClient) -> None:
    messages = [
        {"messageId": f"m-{key}", "body": s3_event(key).decode()} for key in ("a b", "c", "d")
    ]
    event = json.dumps({"Records": messages}).encode()
    follow(always(Reply(failed_items="batchItemFailures"), keys=frozenset({"a b", "d"})))
    answer = functions.invoke(FunctionName="scripted", Payload=event)
    assert json.loads(answer["Payload"].read()) == {
        "batchItemFailures": [{"itemIdentifier": "m-a b"}, {"itemIdentifier": "m-d"}]
    }
    tasks = [{"taskId": "1", "s3Key": "a+b"}, {"taskId": "2", "s3Key": "c"}]
    event = json.dumps(
        {"invocationSchemaVersion": "2.0", "invocationId": "i", "tasks": tasks}
    ).encode()
    follow(always(Reply(failed_items="s3batch"), keys=frozenset({"a b"})))
    answer = functions.invoke(FunctionName="scripted", Payload=event)
    told = json.loads(answer["Payload"].read())
    assert told["invocationId"] == "i"
    assert told["invocationSchemaVersion"] == "2.0"
    assert [(one["taskId"], one["resultCode"]) for one in told["results"]] == [
        ("1", "PermanentFailure"),
        ("2", "Succeeded"),
    ]


# Faults on the wire.


def test_a_client_sees_each_broken_wire_for_what_it_is(
    follow: Follow, endpoint: ScriptedEndpoint
) -> None:
    functions = client("lambda", endpoint, IMPATIENT)
    for wire, error in (
        (Wire.FIN, ConnectionClosedError),
        (Wire.RST, ConnectionClosedError),
        (Wire.HANG, ReadTimeoutError),
    ):
        endpoint = follow(always(Reply(wire=wire)))
        with pytest.raises(error):
            functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
        assert endpoint.stats().invocations == 1
        assert endpoint.stats().executions == 0
        assert eventually(lambda: endpoint.stats().in_flight == 0)  # noqa: B023 - called at once
    for wire, broken in ((Wire.CUT, ResponseStreamingError), (Wire.STALL, ReadTimeoutError)):
        endpoint = follow(always(Reply(wire=wire, body="0123456789")))
        answer = functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
        with pytest.raises(broken):
            answer["Payload"].read()
        assert endpoint.stats().executions == 1
    endpoint = follow(always(Reply(wire=Wire.DRIP, body="0123456789", drip_interval=0.01)))
    answer = functions.invoke(FunctionName="scripted")
    assert answer["Payload"].read() == b"0123456789"
    assert endpoint.stats().by_outcome == {"invoke drip after running": 1}


def test_a_run_whose_reply_is_lost_counts_as_executed(
    follow: Follow, functions: LambdaClient
) -> None:
    lost = Rule(arrivals=frozenset({1}), reply=Reply(wire=Wire.FIN, runs=True))
    endpoint = follow(Script(latency=QUICK, rules=(lost,), record_calls=True))
    with pytest.raises(ConnectionClosedError):
        functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert endpoint.items() == {"a": 2}
    assert [(call.executed, call.outcome) for call in endpoint.calls()] == [
        (True, "fin after running"),
        (True, "200"),
    ]


def raw_socket(endpoint: ScriptedEndpoint) -> socket.socket:
    address = urlsplit(endpoint.url)
    assert address.hostname == "127.0.0.1"
    return socket.create_connection((address.hostname, address.port or 0), GRACE_SECONDS)


def raw_request(body: bytes, *, kind: str = "RequestResponse", path: str = "scripted") -> bytes:
    return (
        f"POST /2015-03-31/functions/{path}/invocations HTTP/1.1\r\nHost: x\r\n"
        f"X-AMZ-Invocation-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def read_all(sock: socket.socket) -> bytes:
    received = b""
    while True:
        data = sock.recv(65_536)
        if not data:
            return received
        received += data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = sock.recv(65_536)
        assert data, received
        received += data
    return received


def test_fin_is_an_end_and_rst_an_error(follow: Follow) -> None:
    endpoint = follow(always(Reply(wire=Wire.FIN)))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        assert read_all(sock) == b""
    follow(always(Reply(wire=Wire.RST)))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_cut_answer_promises_more_than_it_sends(follow: Follow) -> None:
    endpoint = follow(always(Reply(wire=Wire.CUT, body="0123456789")))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert b"Content-Length: 10" in head
    assert body == b"01234"
    follow(always(Reply(wire=Wire.CUT, body="")))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        text = read_all(sock)
    assert text.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in text


def test_pipelined_requests_are_answered_in_their_order(follow: Follow) -> None:
    script = Script(
        latency=QUICK,
        rules=tuple(
            Rule(calls=frozenset({n}), reply=Reply(body=f"<{n}>", delay=0.05 / n))
            for n in (1, 2, 3)
        ),
    )
    endpoint = follow(script)
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}") * 3)
        received = read_until(sock, b"<3>")
        assert re.findall(rb"<\d>", received) == [b"<1>", b"<2>", b"<3>"]
        # The same connection goes on.
        sock.sendall(raw_request(b"{}"))
        read_until(sock, b"null")
    assert endpoint.stats().connections == 2  # this one, and the one that asks


def test_a_slow_call_does_not_hold_up_another() -> None:
    slow = Rule(calls=frozenset({1}), reply=Reply(delay=3_600))
    with (
        scripted_endpoint(Script(latency=QUICK, rules=(slow,))) as endpoint,
        closing(raw_socket(endpoint)) as first,
        closing(raw_socket(endpoint)) as second,
    ):
        first.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().in_flight == 1)
        second.sendall(raw_request(b"{}"))
        read_until(second, b"null")
        assert endpoint.stats().in_flight == 1


def test_a_function_runs_on_when_its_client_leaves() -> None:
    with scripted_endpoint(always(Reply(delay=3_600))) as endpoint:
        with closing(raw_socket(endpoint)) as sock:
            sock.sendall(raw_request(s3_event("a")))
            assert eventually(lambda: endpoint.stats().running == 1)
        stats = endpoint.stats()
        assert (stats.running, stats.in_flight) == (1, 1)


# Calls at once.


def test_the_most_in_flight_is_seen_and_the_excess_throttled() -> None:
    gate = Rule(above_in_flight=3, reply=Reply(error="TooManyRequestsException"))
    with ExitStack() as open_now:
        script = Script(latency=3_600, rules=(gate,))
        endpoint = open_now.enter_context(scripted_endpoint(script))
        for _ in range(3):
            sock = open_now.enter_context(closing(raw_socket(endpoint)))
            sock.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().running == 3)
        sock = open_now.enter_context(closing(raw_socket(endpoint)))
        for _ in range(2):
            sock.sendall(raw_request(b"{}"))
            assert read_until(sock, b"}").startswith(b"HTTP/1.1 429")
        stats = endpoint.stats()
        assert (stats.executions, stats.max_running, stats.in_flight) == (3, 3, 3)
        assert (stats.max_in_flight, stats.max_in_flight_ever) == (4, 4)
        endpoint.reset()
        stats = endpoint.stats()
        assert (stats.max_in_flight, stats.max_in_flight_ever) == (3, 4)
        assert stats.by_outcome == {}


def test_an_sdks_hidden_retries_are_counted(follow: Follow) -> None:
    endpoint = follow(always(Reply(error="ServiceException"), calls=Span(last=2)))
    patient = client(
        "lambda", endpoint, Config(retries={"total_max_attempts": 3, "mode": "standard"})
    )
    assert patient.invoke(FunctionName="scripted")["StatusCode"] == 200
    stats = endpoint.stats()
    assert (stats.invocations, stats.repeated_invocation_ids) == (3, 2)


def test_calls_are_recorded_with_their_times(follow: Follow, functions: LambdaClient) -> None:
    rules = (
        Rule(arrivals=frozenset({1}), reply=Reply(error="ServiceException")),
        Rule(arrivals=frozenset({2}), reply=Reply(delay=0.25)),
    )
    endpoint = follow(Script(latency=0.5, rules=rules, record_calls=True))
    with pytest.raises(ClientError):
        functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    functions.invoke(FunctionName="scripted", Qualifier="1", Payload=s3_event("a b"))
    refused, ran = endpoint.calls()
    assert (refused.number, refused.executed, refused.keys) == (1, False, ["a b"])
    assert (refused.outcome, refused.ran_until) == ("500 ServiceException", refused.arrived_at)
    assert (ran.number, ran.executed, ran.outcome) == (2, True, "200")
    assert (ran.function, ran.qualifier, ran.keys) == ("scripted", "1", ["a b"])
    assert ran.ran_until - ran.arrived_at == pytest.approx(0.75)
    assert ran.arrived_at > refused.arrived_at
    assert ran.invocation_id != refused.invocation_id


def test_without_counting_items_bodies_are_not_looked_into(
    follow: Follow, functions: LambdaClient
) -> None:
    endpoint = follow(Script(latency=QUICK, count_items=False))
    assert functions.invoke(FunctionName="scripted", Payload=b"{")["StatusCode"] == 200
    functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert endpoint.items() == {}
    assert endpoint.stats().executions == 2
    # A rule about keys looks all the same.
    follow(
        Script(
            latency=QUICK,
            count_items=False,
            rules=(Rule(keys=frozenset({"a"}), reply=Reply(body="a!")),),
        )
    )
    answer = functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert answer["Payload"].read() == b"a!"


# S3.


def list_all(buckets: S3Client, **query: Any) -> tuple[list[Any], list[str]]:
    pages = list(buckets.get_paginator("list_objects_v2").paginate(**query))
    contents = [one for page in pages for one in page.get("Contents", [])]
    common = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    assert sum(page["KeyCount"] for page in pages) == len(contents) + len(common)
    return contents, common


@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_odd_keys_come_through_byte_for_byte_in_utf8_order(
    follow: Follow, buckets: S3Client, page_size: int
) -> None:
    endpoint = follow(
        Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in ODD_KEYS)),))
    )
    contents, _ = list_all(buckets, Bucket="scripted", PaginationConfig={"PageSize": page_size})
    assert [one["Key"] for one in contents] == sorted(ODD_KEYS, key=str.encode)
    pages = -(-len(ODD_KEYS) // page_size)
    assert endpoint.stats().by_outcome == {"list_objects 200": pages}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_a_prefix_and_a_place_to_start(
    follow: Follow, buckets: S3Client, key: str
) -> None:
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=one) for one in ODD_KEYS)),)))
    with_prefix, _ = list_all(buckets, Bucket="scripted", Prefix=key)
    assert key in [one["Key"] for one in with_prefix]
    assert all(one["Key"].startswith(key) for one in with_prefix)
    after, _ = list_all(buckets, Bucket="scripted", StartAfter=key)
    assert [one["Key"] for one in after] == sorted(
        (one for one in ODD_KEYS if one.encode() > key.encode()), key=str.encode
    )


def test_a_listing_tells_all_of_an_object(follow: Follow, buckets: S3Client) -> None:
    one = S3Object(
        key="k",
        size=5_000_000_000,
        etag="0123-2",
        modified_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC),
        storage_class="GLACIER",
    )
    follow(Script(buckets=(Bucket(objects=(one,)),)))
    contents, _ = list_all(buckets, Bucket="scripted")
    listed = contents[0]
    assert (listed["Key"], listed["Size"], listed["StorageClass"]) == ("k", one.size, "GLACIER")
    assert listed["ETag"] == '"0123-2"'
    assert listed["LastModified"] == one.modified_at


def test_delimiters_roll_keys_up_over_pages(follow: Follow, buckets: S3Client) -> None:
    keys = ["a", "b/1", "b/2/3", "c d/1", "c+d/1", "d", "e/1"]
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in keys)),)))
    contents, common = list_all(
        buckets, Bucket="scripted", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    assert [one["Key"] for one in contents] == ["a", "d"]
    assert common == ["b/", "c d/", "c+d/", "e/"]
    contents, common = list_all(buckets, Bucket="scripted", Prefix="b/", Delimiter="/")
    assert [one["Key"] for one in contents] == ["b/1"]
    assert common == ["b/2/"]


def test_made_up_objects_are_listed_by_the_thousand(follow: Follow, buckets: S3Client) -> None:
    generated = GeneratedObjects(count=10_000_000)
    follow(Script(buckets=(Bucket(generated=generated),)))
    page = buckets.list_objects_v2(Bucket="scripted", StartAfter="data/009998999.json")
    assert page["KeyCount"] == 1000
    assert not page["IsTruncated"]
    for one, i in ((page["Contents"][0], 9_999_000), (page["Contents"][-1], 9_999_999)):
        made_up = generated_object(generated, i)
        assert one["Key"] == made_up.key == f"data/{i:09d}.json"
        assert one["ETag"] == f'"{made_up.etag}"'
        assert (one["Size"], one["LastModified"]) == (made_up.size, made_up.modified_at)
    first = buckets.list_objects_v2(Bucket="scripted", MaxKeys=3)
    assert first["IsTruncated"]
    second = buckets.list_objects_v2(
        Bucket="scripted", MaxKeys=3, ContinuationToken=first["NextContinuationToken"]
    )
    assert [one["Key"] for one in second["Contents"]] == [f"data/{i:09d}.json" for i in (3, 4, 5)]


def test_the_old_listing_works_too(follow: Follow, buckets: S3Client) -> None:
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in ODD_KEYS)),)))
    pages = buckets.get_paginator("list_objects").paginate(
        Bucket="scripted", PaginationConfig={"PageSize": 5}
    )
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    assert keys == sorted(ODD_KEYS, key=str.encode)


def test_buckets_that_cannot_be_read(follow: Follow, buckets: S3Client) -> None:
    denied = tuple(
        Rule(operation=operation, resource="denied", reply=Reply(error="AccessDenied"))
        for operation in (Operation.HEAD_BUCKET, Operation.LIST_OBJECTS)
    )
    follow(
        Script(
            buckets=(Bucket(), Bucket(name="denied"), Bucket(name="far", region="eu-west-1")),
            rules=denied,
        )
    )
    head = buckets.head_bucket(Bucket="scripted")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    for bucket, code, status in (
        ("missing", "NoSuchBucket", 404),
        ("denied", "AccessDenied", 403),
        ("far", "PermanentRedirect", 301),
    ):
        with pytest.raises(ClientError) as caught:
            buckets.head_bucket(Bucket=bucket)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        with pytest.raises(ClientError) as caught:
            buckets.list_objects_v2(Bucket=bucket)
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as caught:
        buckets.head_bucket(Bucket="far")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-bucket-region"] == "eu-west-1"
    location = buckets.get_bucket_location(Bucket="far")
    assert location["LocationConstraint"] == "eu-west-1"
    assert buckets.get_bucket_location(Bucket="scripted").get("LocationConstraint") is None
    settings = buckets.get_bucket_notification_configuration(Bucket="scripted")
    assert set(settings) == {"ResponseMetadata"}
    with pytest.raises(ClientError) as caught:
        buckets.get_object(Bucket="scripted", Key="a")
    assert caught.value.response["Error"]["Code"] == "NotImplemented"


def test_an_answer_to_head_has_no_body(follow: Follow) -> None:
    endpoint = follow(Script())
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(b"HEAD /missing HTTP/1.1\r\n\r\nHEAD /scripted HTTP/1.1\r\n\r\n")
        received = read_until(sock, b"\r\n\r\n")
        while received.count(b"\r\n\r\n") < 2:
            received += read_until(sock, b"\r\n\r\n")
    first, second, rest = received.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 404 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert rest == b""


def test_a_listing_fails_at_the_page_the_script_says(follow: Follow, buckets: S3Client) -> None:
    rules = (
        Rule(
            operation=Operation.LIST_OBJECTS,
            calls=frozenset({2}),
            reply=Reply(error="SlowDown"),
        ),
        Rule(
            operation=Operation.LIST_OBJECTS,
            calls=frozenset({3}),
            reply=Reply(wire=Wire.CUT),
        ),
    )
    bucket = Bucket(generated=GeneratedObjects(count=3_000))
    endpoint = follow(Script(buckets=(bucket,), rules=rules))
    first = buckets.list_objects_v2(Bucket="scripted")
    with pytest.raises(ClientError) as caught:
        buckets.list_objects_v2(Bucket="scripted")
    assert caught.value.response["Error"]["Code"] == "SlowDown"
    # botocore makes a status of its own of a page that ends too early.
    with pytest.raises(ClientError, match="500"):
        buckets.list_objects_v2(Bucket="scripted")
    assert endpoint.stats().by_outcome == {
        "list_objects 200": 1,
        "list_objects 503 SlowDown": 1,
        "list_objects cut": 1,
    }
    with pytest.raises(ClientError) as caught:
        buckets.list_objects_v2(Bucket="scripted", ContinuationToken="!")
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"
    # A token outlives the objects: the source may change between two pages.
    follow(Script(buckets=(Bucket(generated=GeneratedObjects(count=1_500)),)))
    second = buckets.list_objects_v2(
        Bucket="scripted", ContinuationToken=first["NextContinuationToken"]
    )
    assert second["KeyCount"] == 500


# The endpoint as a process.


def test_a_bad_script_is_refused_and_the_old_one_stays(
    follow: Follow, functions: LambdaClient
) -> None:
    endpoint = follow(Script(latency=QUICK, answer='"old"'))
    with closing(raw_socket(endpoint)) as sock:
        body = b'{"latency": -1}'
        sock.sendall(b"POST /_endpoint/script HTTP/1.1\r\n")
        sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        received = sock.recv(65_536)
    assert received.startswith(b"HTTP/1.1 400")
    assert b"latency" in received
    assert functions.invoke(FunctionName="scripted")["Payload"].read() == b'"old"'


def test_unknown_observations_say_what_there_is(endpoint: ScriptedEndpoint) -> None:
    with pytest.raises(EndpointError, match="GET stats, items, calls; POST reset, script"):
        endpoint._ask("GET", "state")  # noqa: SLF001 - what a typing mistake would do
    with pytest.raises(EndpointError, match="above=<number>"):
        endpoint._ask("GET", "items?above=x")  # noqa: SLF001 - the same


def test_the_endpoint_ends_with_its_block_even_with_calls_in_flight() -> None:
    with scripted_endpoint(always(Reply(wire=Wire.HANG))) as endpoint:
        sock = raw_socket(endpoint)
        sock.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().in_flight == 1)
    sock.close()
    assert not Path(f"/proc/{endpoint.process_id}").exists()
    with pytest.raises(ConnectionRefusedError):
        raw_socket(endpoint)


_PARENT = """
import time
from stack.endpoint import scripted_endpoint

with scripted_endpoint() as endpoint:
    print(endpoint.process_id, flush=True)
    time.sleep(600)
"""


def test_the_endpoint_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(  # noqa: S603 - fixed arguments
        [
            sys.executable,
            "-c",
            _PARENT,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        ended = eventually(lambda: not _is_alive(child))
        if not ended:
            os.kill(child, signal.SIGKILL)
        assert ended
    finally:
        parent.kill()
        parent.wait()


def _is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Whoever adopted it may not have collected it.
    return state != "Z"


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "stack.endpoint", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_prints_its_url_and_ends_at_sigterm() -> None:
    flags = ["--objects", "1500", "--bucket", "big", "--function", "fn", "--latency", "0.001"]
    with command("--port", "0", *flags, "--answer", '"yes"', "--no-items") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        running = ScriptedEndpoint(url, process.pid, None)
        answer = client("lambda", running).invoke(FunctionName="fn")
        assert answer["Payload"].read() == b'"yes"'
        contents, _ = list_all(client("s3", running), Bucket="big")
        assert len(contents) == 1500
        process.terminate()
        assert process.wait(GRACE_SECONDS) == 0
        assert process.stdout.read() == ""


def test_the_command_takes_a_script_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(render_script(Script(latency=QUICK, answer='"from a file"')))
    with command("--script", str(path)) as process:
        assert process.stdout is not None
        running = ScriptedEndpoint(process.stdout.readline().strip(), process.pid, None)
        answer = client("lambda", running).invoke(FunctionName="scripted")
        assert answer["Payload"].read() == b'"from a file"'


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--objects", "-1"], ["count", "-1"]),
        (["--pattern", "a{i:09d}"], ["--pattern", "--objects"]),
        (["--script", "nowhere.json"], ["nowhere.json"]),
        (["--script", "-", "--latency", "1"], ["--latency", "script"]),
        (["--bucket", "B"], ["'B'"]),
        (["--port", "99999999"], ["port"]),
        (["--certificate", "nowhere.pem"], ["No such file"]),
    ],
)
def test_a_bad_command_line_is_refused(arguments: list[str], parts: list[str]) -> None:
    with command(*arguments) as process:
        output, complaints = process.communicate(timeout=GRACE_SECONDS)
    assert process.returncode == 2
    assert output == ""
    for part in parts:
        assert part in complaints


def test_a_taken_port_is_told(endpoint: ScriptedEndpoint) -> None:
    port = urlsplit(endpoint.url).port or 0
    with (
        pytest.raises(EndpointError, match="address already in use"),
        scripted_endpoint(port=port),
    ):
        pass


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a key and a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted endpoint")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "endpoint.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_all_of_it_over_tls(certificate: Path) -> None:
    rules = (
        Rule(calls=frozenset({2}), reply=Reply(wire=Wire.RST)),
        Rule(calls=frozenset({3}), reply=Reply(wire=Wire.FIN)),
    )
    script = Script(latency=QUICK, rules=rules)
    with scripted_endpoint(script, certificate=certificate) as endpoint:
        assert endpoint.url.startswith("https://127.0.0.1:")
        functions = client("lambda", endpoint, verify=str(certificate))
        body = s3_event(*(f"k{n}" for n in range(5_000)))
        assert functions.invoke(FunctionName="scripted", Payload=body)["StatusCode"] == 200
        for _ in range(2):
            with pytest.raises(ConnectionClosedError):
                functions.invoke(FunctionName="scripted", Payload=body)
        assert functions.invoke(FunctionName="scripted", Payload=body)["StatusCode"] == 200
        assert endpoint.items(above=2) == {}
        assert len(endpoint.items(above=1)) == 5_000
        address = urlsplit(endpoint.url)
        context = ssl.create_default_context(cafile=certificate)
        with (
            closing(raw_socket(endpoint)) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as sock,
        ):
            sock.sendall(raw_request(b"{}") * 2)
            received = read_until(sock, b"null")
            while received.count(b"HTTP/1.1 200") < 2:
                received += read_until(sock, b"null")


def test_it_listens_on_the_loopback_address_only(endpoint: ScriptedEndpoint) -> None:
    port = urlsplit(endpoint.url).port
    listening = []
    for name in ("tcp", "tcp6"):
        table = Path(f"/proc/{os.getpid()}/net/{name}").read_text().splitlines()[1:]
        for line in table:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                listening.append(local.rpartition(":")[0])
    assert listening == ["0100007F"]
