"""Requests are read the same however the network splits them, and answered in order."""

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint import connection as connection_module
from stack.endpoint.connection import Connection, Request, response


class Transport:
    """Records what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.paused = False
        self.socket = Mock()

    def get_extra_info(self, _name: str) -> Mock:
        return self.socket

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Loop:
    """Runs scheduled callbacks when a test calls `run`."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def run(self) -> None:
        while self._soon:
            self._soon.pop(0)()


class Service:
    """Records requests; answers at once, or when a test calls `answer`."""

    def __init__(self, *, at_once: bool) -> None:
        self.requests: list[tuple[bytes, bytes, bytes]] = []
        self.waiting: list[Connection] = []
        self.at_once = at_once
        self.loop = Loop()

    def opened(self) -> None:
        pass

    def handle(self, connection: Connection, request: Request) -> None:
        self.requests.append((request.method, request.target, request.body))
        self.waiting.append(connection)
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        connection = self.waiting.pop()
        connection.respond(b"<%b>" % self.requests[-1][1])


def connect(*, at_once: bool = True) -> tuple[Connection, Service, Transport]:
    service, transport = Service(at_once=at_once), Transport()
    connection = Connection(service, cast("asyncio.AbstractEventLoop", service.loop))
    connection.connection_made(cast("Any", transport))
    return connection, service, transport


def request(number: int, body: bytes | None) -> bytes:
    line = b"POST /%d HTTP/1.1\r\nHost: x\r\n" % number
    if body is None:
        return line + b"\r\n"
    return line + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@settings(deadline=None)
@given(
    bodies=st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    at_once=st.booleans(),
)
def test_requests_do_not_depend_on_how_they_are_cut(
    bodies: list[bytes | None], cuts: list[int], *, at_once: bool
) -> None:
    stream = b"".join(request(number, body) for number, body in enumerate(bodies))
    connection, service, transport = connect(at_once=at_once)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        if end > start:
            connection.data_received(stream[start:end])
    service.loop.run()
    while service.waiting:
        service.answer()
        service.loop.run()
    assert service.requests == [
        (b"POST", b"/%d" % number, body or b"") for number, body in enumerate(bodies)
    ]
    assert transport.sent == b"".join(b"</%d>" % number for number in range(len(bodies)))


def test_headers_go_by_their_names_in_lower_case() -> None:
    service = Mock()
    connection = Connection(service, Mock())
    connection.connection_made(Mock())
    text = b"GET / HTTP/1.1\r\nX-One:1\r\nx-empty:\r\nX-TWO:  Two words \r\n\r\n"
    for at in range(len(text)):
        connection.data_received(text[at : at + 1])
    (_, read), _ = service.handle.call_args
    assert {name: value.strip() for name, value in read.headers.items()} == {
        b"x-one": b"1",
        b"x-empty": b"",
        b"x-two": b"Two words",
    }


def test_a_pipelined_request_waits_for_the_answer_before_it() -> None:
    connection, service, _ = connect(at_once=False)
    connection.data_received(request(0, None) + request(1, b"x"))
    assert len(service.requests) == 1
    service.answer()
    service.loop.run()
    assert len(service.requests) == 2


def test_thousands_of_pipelined_requests_need_no_stack() -> None:
    connection, service, _ = connect()
    connection.data_received(b"".join(request(n, None) for n in range(5_000)))
    service.loop.run()
    assert len(service.requests) == 5_000


def test_a_flood_is_paused_and_resumed() -> None:
    connection, service, transport = connect(at_once=False)
    connection.data_received(b"".join(request(n, b"x" * 1_000) for n in range(100)))
    assert transport.paused
    while service.waiting:
        service.answer()
        service.loop.run()
    assert not transport.paused
    assert len(service.requests) == 100


def test_a_part_of_a_request_is_acknowledged_at_once() -> None:
    connection, _, transport = connect()
    connection.data_received(request(0, b"abc"))
    transport.socket.setsockopt.assert_not_called()
    connection.data_received(request(1, b"abc")[:-1])
    transport.socket.setsockopt.assert_called_once_with(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


@pytest.mark.parametrize(
    "text",
    [
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nno header\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_an_unreadable_request_is_refused_and_its_connection_closed(text: bytes) -> None:
    connection, service, transport = connect()
    connection.data_received(text)
    assert transport.sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\n\r\ncannot read this request: " in transport.sent
    assert transport.closed
    assert not service.requests
    connection.data_received(b"more")


def test_a_request_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_REQUEST_BYTES", 1_000)
    connection, service, transport = connect()
    connection.data_received(request(0, b"x" * 2_000)[:1_001])
    assert transport.sent.startswith(b"HTTP/1.1 413 ")
    assert transport.closed
    assert not service.requests


def test_requests_before_an_unreadable_one_are_answered() -> None:
    connection, service, transport = connect(at_once=False)
    connection.data_received(request(0, None) + b"nonsense\r\n")
    assert transport.sent == b""
    service.answer()
    service.loop.run()
    assert transport.sent.startswith(b"</0>HTTP/1.1 400 ")
    assert transport.closed


@pytest.mark.parametrize(
    "text", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_the_connection_closes_if_the_client_asks_for_it(text: bytes) -> None:
    connection, _, transport = connect()
    connection.data_received(text + b"more")
    assert transport.sent == b"</>"
    assert transport.closed


def test_a_client_that_expects_100_continue_gets_it() -> None:
    connection, service, transport = connect()
    head = b"POST /0 HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    connection.data_received(head)
    assert transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"ab")
    assert service.requests == [(b"POST", b"/0", b"ab")]


def test_an_answer_to_a_client_that_left_goes_nowhere() -> None:
    connection, service, transport = connect(at_once=False)
    connection.data_received(request(0, None) + request(1, None))
    connection.connection_lost(None)
    service.answer()
    service.loop.run()
    assert transport.sent == b""
    assert len(service.requests) == 1


def test_a_stalled_response_is_notified_once_when_the_client_leaves() -> None:
    connection, _, _ = connect(at_once=False)
    connection.data_received(request(0, None))
    left: list[int] = []
    connection.stall(b"", lambda: left.append(1))
    assert left == []
    connection.connection_lost(None)
    connection.connection_lost(None)
    assert left == [1]
    connection.stall(b"", lambda: left.append(2))
    assert left == [1, 2]


def test_every_response_but_204_has_a_length() -> None:
    head, body = response(200, {"A": "b"}, b"xyz")
    assert b"\r\nContent-Length: 3\r\n" in head
    assert b"\r\nA: b\r\n" in head
    assert body == b"xyz"
    head, body = response(204, {}, b"xyz")
    assert b"Content-Length" not in head
    assert body == b""
