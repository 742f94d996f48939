"""Broken connections: what clients see, and what the endpoint counts."""

import re
from contextlib import ExitStack, closing

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from mypy_boto3_lambda import LambdaClient

from stack.endpoint import Reply, Rule, Script, ScriptedEndpoint, Wire, scripted_endpoint
from tests.integration.endpoint.clients import (
    IMPATIENT,
    QUICK,
    Follow,
    always,
    client,
    eventually,
    raw_request,
    raw_socket,
    read_all,
    read_until,
    s3_event,
)


def test_a_client_sees_each_kind_of_broken_connection(
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
    follow(always(Reply(wire=Wire.DRIP, body="0123456789", drip_interval=0.01)))
    answer = functions.invoke(FunctionName="scripted")
    assert answer["Payload"].read() == b"0123456789"


def test_a_call_whose_response_is_lost_counts_as_executed(
    follow: Follow, functions: LambdaClient
) -> None:
    lost = Rule(arrivals=frozenset({1}), reply=Reply(wire=Wire.FIN, runs=True))
    endpoint = follow(Script(latency=QUICK, rules=(lost,), record_calls=True))
    with pytest.raises(ConnectionClosedError):
        functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert endpoint.items() == {"a": 2}
    assert [call.executed for call in endpoint.calls()] == [True, True]


def test_fin_is_a_normal_end_and_rst_an_error(follow: Follow) -> None:
    endpoint = follow(always(Reply(wire=Wire.FIN)))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        assert read_all(sock) == b""
    follow(always(Reply(wire=Wire.RST)))
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(raw_request(b"{}"))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_truncated_response_announces_more_than_it_sends(follow: Follow) -> None:
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


def test_pipelined_requests_are_answered_in_order(follow: Follow) -> None:
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
        # The same connection stays usable.
        sock.sendall(raw_request(b"{}"))
        read_until(sock, b"null")
    assert endpoint.stats().connections == 2  # this one, and the one that asks for the counts


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


def test_a_function_continues_when_its_client_leaves() -> None:
    with scripted_endpoint(always(Reply(delay=3_600))) as endpoint:
        with closing(raw_socket(endpoint)) as sock:
            sock.sendall(raw_request(s3_event("a")))
            assert eventually(lambda: endpoint.stats().executions == 1)
        assert endpoint.stats().in_flight == 1


# Calls at once.


def test_the_maximum_in_flight_is_recorded_and_the_excess_throttled() -> None:
    gate = Rule(above_in_flight=3, reply=Reply(error="TooManyRequestsException"))
    with ExitStack() as open_now:
        script = Script(latency=3_600, rules=(gate,))
        endpoint = open_now.enter_context(scripted_endpoint(script))
        for _ in range(3):
            sock = open_now.enter_context(closing(raw_socket(endpoint)))
            sock.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().executions == 3)
        sock = open_now.enter_context(closing(raw_socket(endpoint)))
        for _ in range(2):
            sock.sendall(raw_request(b"{}"))
            assert read_until(sock, b"}").startswith(b"HTTP/1.1 429")
        stats = endpoint.stats()
        assert (stats.executions, stats.in_flight) == (3, 3)
        assert (stats.max_in_flight, stats.max_in_flight_ever) == (4, 4)
        endpoint.reset()
        stats = endpoint.stats()
        assert (stats.max_in_flight, stats.max_in_flight_ever) == (3, 4)
        assert stats.by_operation == {}


def test_calls_are_recorded_with_times(follow: Follow, functions: LambdaClient) -> None:
    rules = (
        Rule(arrivals=frozenset({1}), reply=Reply(error="ServiceException")),
        Rule(arrivals=frozenset({2}), reply=Reply(delay=0.25)),
    )
    endpoint = follow(Script(latency=0.5, rules=rules, record_calls=True))
    with pytest.raises(ClientError):
        functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    refused, ran = endpoint.calls()
    assert (refused.executed, refused.keys) == (False, ["a b"])
    assert refused.ran_until == refused.arrived_at
    assert (ran.executed, ran.keys) == (True, ["a b"])
    assert ran.ran_until - ran.arrived_at == pytest.approx(0.75)
    assert ran.arrived_at > refused.arrived_at


def test_bodies_are_not_parsed_if_items_are_not_counted(
    follow: Follow, functions: LambdaClient
) -> None:
    endpoint = follow(Script(latency=QUICK, count_items=False))
    assert functions.invoke(FunctionName="scripted", Payload=b"{")["StatusCode"] == 200
    functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert endpoint.items() == {}
    assert endpoint.stats().executions == 2
    # A rule with keys parses them anyway.
    follow(
        Script(
            latency=QUICK,
            count_items=False,
            rules=(Rule(keys=frozenset({"a"}), reply=Reply(body="a!")),),
        )
    )
    answer = functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert answer["Payload"].read() == b"a!"
