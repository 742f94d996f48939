"""One HTTP/1.1 connection: read requests, send complete responses and broken ones.

A client may pipeline: its requests are answered one after the other, in their order.
"""

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from http.client import responses
from typing import NamedTuple, Protocol, assert_never, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from stack.endpoint.script import Reply, Wire

MAX_REQUEST_BYTES = 256 * 1024 * 1024
"""The longest request: a script with a million objects fits."""

_MOST_WAITING = 64
_LINGER_OFF = struct.pack("ii", 1, 0)
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Only Linux has it."""


class Request(NamedTuple):
    """A complete request."""

    method: bytes
    target: bytes
    """The target of the request line: a path, perhaps with a query."""
    headers: dict[bytes, bytes]
    """By lowercase name."""
    body: bytes


class Service(Protocol):
    """Answers the requests of a connection."""

    def opened(self) -> None:
        """Count a new connection."""

    def handle(self, connection: "Connection", request: Request) -> None:
        """Answer a request, now or later, through exactly one call of the connection's methods."""


def date_header() -> bytes:
    """Return the current Date header, with its line end."""
    return _date_header(int(time.time()))


@lru_cache(maxsize=1)
def _date_header(second: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()


def response(status: int, headers: dict[str, str], body: bytes) -> tuple[bytes, bytes]:
    """Return the head and the body of a response; for a 204 only the head."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Scripted')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + date_header() + b"\r\n"
    return head, b"" if status == HTTPStatus.NO_CONTENT else body


class Connection(asyncio.Protocol):
    """A client's connection. The event loop, the parser and the service call its methods."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._parser = HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._on_lost: Callable[[], None] | None = None
        self._unfinished_bytes = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = self._ending = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._service.opened()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client: a part of a request, or several requests."""
        if self._ending or self._transport is None:
            return
        self._unfinished_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"cannot read this request: {error}")
        if self._unfinished_bytes > MAX_REQUEST_BYTES:
            text = f"a request may have at most {MAX_REQUEST_BYTES:,} bytes"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        elif self._unfinished_bytes and _QUICK_ACK is not None:
            # A client without TCP_NODELAY (such as awscrt's) holds back its next small segment
            # until the last is acknowledged, which Linux delays by 40 ms. Over the loopback device,
            # whose segments hold 64 KB, that is every second piece of a long request. Linux resets
            # the option after use.
            self._set_option(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        if len(self._waiting) > _MOST_WAITING:
            self._transport.pause_reading()
        self._serve()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client, and call what waits for its end."""
        self._transport = None
        self._waiting.clear()
        if self._on_lost is not None:
            self._on_lost()
            self._on_lost = None

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body_parts: list[bytes] = []

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Ask for the body, if the client waits for that."""
        if self._headers.get(b"expect") == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._body_parts.append(part)

    def on_message_complete(self) -> None:
        """Answer the request, once those before it are answered."""
        body = b"".join(self._body_parts)
        request = Request(self._parser.get_method(), self._target, self._headers, body)
        self._waiting.append(partial(self._service.handle, self, request))
        self._unfinished_bytes = 0
        self._ending = not self._parser.should_keep_alive()

    # Called by the service.

    def respond(self, answer: bytes) -> None:
        """Send a complete response."""
        if self._transport is None:
            return
        self._transport.write(answer)
        self._busy = False
        if self._waiting:
            # From the loop: else thousands of pipelined requests would nest thousands of calls.
            self._loop.call_soon(self._serve)
            if len(self._waiting) <= _MOST_WAITING:
                self._transport.resume_reading()
        elif self._ending:
            self._transport.close()

    def deliver(
        self, reply: Reply, head: bytes, body: bytes, done: Callable[[], None] = lambda: None
    ) -> None:
        """Send a response, or as much of it as the reply's wire allows.

        :param done: called once, when no more will come or the client has left
        """
        # Without a body, half of the head.
        part = head + body[: len(body) // 2] if body else head[: len(head) // 2]
        match reply.wire:
            case Wire.WHOLE:
                done()
                self.respond(head + body)
            case Wire.HANG:
                self.stall(b"", done)
            case Wire.FIN:
                done()
                self.finish()
            case Wire.RST:
                done()
                self.reset()
            case Wire.CUT:
                done()
                self.finish(part)
            case Wire.STALL:
                self.stall(part, done)
            case Wire.DRIP:
                self._drip(head, body, reply.drip_interval, done)
            case _:
                assert_never(reply.wire)

    def stall(self, sent: bytes, until_lost: Callable[[], None]) -> None:
        """Send some bytes or none, and no more; call back when the client has left."""
        if self._transport is None:
            until_lost()
            return
        self._transport.write(sent)
        self._on_lost = until_lost

    def finish(self, sent: bytes = b"") -> None:
        """Send some bytes, or none, and close properly."""
        if self._transport is not None:
            self._transport.write(sent)
            self._transport.close()

    def reset(self) -> None:
        """Reset the connection: the client sees ECONNRESET."""
        if self._transport is not None:
            self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
            self._transport.abort()

    # Internal.

    def _drip(self, sent: bytes, left: bytes, interval: float, done: Callable[[], None]) -> None:
        """Send some bytes, then the others one by one, at an interval in seconds."""
        if self._transport is None:
            done()
        elif not left:
            done()
            self.respond(sent)
        else:
            self._transport.write(sent)
            self._loop.call_later(interval, self._drip, left[:1], left[1:], interval, done)

    def _serve(self) -> None:
        """Answer the next request, unless one is being answered."""
        if self._waiting and not self._busy:
            self._busy = True
            self._waiting.popleft()()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Read no more; send the reason after the responses to earlier requests."""
        if self._ending:
            return
        self._ending = True
        head, body = response(status, {"Connection": "close"}, why.encode())
        self._waiting.append(partial(self.respond, head + body))

    def _set_option(self, level: int, option: int, value: int | bytes) -> None:
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(level, option, value)
