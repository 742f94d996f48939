"""Requests are read the same however the network cuts them, and answered in their order."""

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint.connection import Connection, header, response


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.paused = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Service:
    """Keeps the requests; answers at once, or when told."""

    def __init__(self, *, at_once: bool) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.waiting: list[Connection] = []
        self.at_once = at_once

    def opened(self) -> None:
        pass

    def handle(self, connection: Connection, line: bytes, head: bytes, body: bytes) -> None:
        assert head.endswith(b"\r\n")
        self.requests.append((line, body))
        if self.at_once:
            connection.respond(b"<%b>" % line)
        else:
            self.waiting.append(connection)

    def answer(self) -> None:
        connection = self.waiting.pop()
        connection.respond(b"<%b>" % self.requests[-1][0])


def connect(*, at_once: bool = True) -> tuple[Connection, Service, Transport]:
    service, transport = Service(at_once=at_once), Transport()
    connection = Connection(service, cast("asyncio.AbstractEventLoop", None))
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
    while service.waiting:
        service.answer()
    lines = [b"POST /%d HTTP/1.1" % number for number in range(len(bodies))]
    assert service.requests == [
        (line, body or b"") for line, body in zip(lines, bodies, strict=True)
    ]
    assert transport.sent == b"".join(b"<%b>" % line for line in lines)


def test_a_pipelined_request_waits_for_the_answer_before_it() -> None:
    connection, service, _ = connect(at_once=False)
    connection.data_received(request(0, None) + request(1, b"x"))
    assert len(service.requests) == 1
    service.answer()
    assert len(service.requests) == 2


def test_thousands_of_pipelined_requests_need_no_stack() -> None:
    connection, service, _ = connect()
    connection.data_received(b"".join(request(n, None) for n in range(5_000)))
    assert len(service.requests) == 5_000


def test_a_flood_is_paused_and_taken_up_again() -> None:
    connection, service, transport = connect(at_once=False)
    connection.data_received(request(0, None))
    flood = request(1, b"x" * 2_000_000)
    connection.data_received(flood)
    assert transport.paused
    service.answer()
    assert not transport.paused
    assert service.requests[-1][1] == b"x" * 2_000_000


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\n" + b"x" * 70_000, b"431"),
    ],
)
def test_what_cannot_be_read_is_refused_and_closed(text: bytes, status: bytes) -> None:
    connection, service, transport = connect()
    connection.data_received(text)
    assert transport.sent.startswith(b"HTTP/1.1 " + status)
    assert transport.closed
    assert not service.requests


@pytest.mark.parametrize(
    "text", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_a_client_that_keeps_no_connection_gets_none(text: bytes) -> None:
    connection, _, transport = connect()
    connection.data_received(text)
    assert transport.closed


def test_a_client_that_waits_for_100_gets_it() -> None:
    connection, service, transport = connect()
    head = b"POST /0 HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    connection.data_received(head)
    assert transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"ab")
    assert service.requests == [(b"POST /0 HTTP/1.1", b"ab")]


def test_an_answer_to_a_client_that_left_goes_nowhere() -> None:
    connection, service, transport = connect(at_once=False)
    connection.data_received(request(0, None) + request(1, None))
    connection.connection_lost(None)
    service.answer()
    assert transport.sent == b""
    assert len(service.requests) == 1


def test_who_hangs_is_told_once_when_the_client_leaves() -> None:
    connection, _, _ = connect(at_once=False)
    connection.data_received(request(0, None))
    told: list[int] = []
    connection.hang(lambda: told.append(1))
    assert told == []
    connection.connection_lost(None)
    connection.connection_lost(None)
    assert told == [1]
    connection.hang(lambda: told.append(2))
    assert told == [1, 2]


def test_a_header_is_found_by_its_whole_name() -> None:
    head = b"get / http/1.1\r\nx-b:1\r\nb:  2 \r\n"
    assert header(head, b"\r\nb:") == b"2"
    assert header(head, b"\r\nc:") == b""


def test_an_answer_to_head_tells_the_length_of_what_it_leaves_out() -> None:
    head, body = response(200, {"A": "b"}, b"xyz", bodiless=True)
    assert b"\r\nContent-Length: 3\r\n" in head
    assert b"\r\nA: b\r\n" in head
    assert body == b""
    head, body = response(204, {}, b"xyz")
    assert b"Content-Length" not in head
    assert body == b""
