"""One HTTP/1.1 connection: reads requests, sends whole answers and broken ones.

Requests with a Content-Length or no body, answered in their order; the next one is looked at when
the one before has been answered, so a client may pipeline.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol, cast

MAX_HEAD_BYTES = 65_536
"""The longest request line and headers."""

MAX_BODY_BYTES = 256 * 1024 * 1024
"""The longest body: a script with a million objects fits."""

_PAUSE_BYTES = 1024 * 1024
_LINGER_OFF = struct.pack("ii", 1, 0)
_CONTENT_LENGTH = b"\r\ncontent-length:"
_HTTP_1_0 = b" http/1.0\r\n"


class Service(Protocol):
    """What answers the requests of a connection."""

    def opened(self) -> None:
        """Count a new connection."""

    def handle(self, connection: "Connection", line: bytes, head: bytes, body: bytes) -> None:
        """Answer a request, now or later, through exactly one call of the connection's methods.

        :param line: the request line, without its end
        :param head: request line and headers in lower case; each ends with CR LF
        """


def header(head: bytes, name: bytes) -> bytes:
    """Return the value of a header, or ``b""``.

    :param head: the request's headers in lower case
    :param name: the header's name in lower case, after CR LF and before a colon
    """
    at = head.find(name)
    if at < 0:
        return b""
    start = at + len(name)
    return head[start : head.index(b"\r\n", start)].strip()


class _Clock:
    """The Date header, made once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """Return the present Date header, with its end."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._text


date_header = _Clock().now


def response(
    status: int, headers: dict[str, str], body: bytes, *, bodiless: bool = False
) -> tuple[bytes, bytes]:
    """Return the head and the body of an answer.

    :param bodiless: send no body, but its length: the answer to a HEAD request
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Scripted"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + date_header() + b"\r\n"
    return head, b"" if bodiless or status == HTTPStatus.NO_CONTENT else body


class Connection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_ahead",
        "_body_chunks",
        "_body_missing",
        "_busy",
        "_closing",
        "_head",
        "_line",
        "_loop",
        "_on_lost",
        "_paused",
        "_service",
        "_serving",
        "_socket",
        "_transport",
    )

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._on_lost: Callable[[], None] | None = None
        self._ahead = b""
        self._line = self._head = b""
        self._body_chunks: list[bytes] = []
        self._body_missing = 0
        self._busy = self._closing = self._paused = self._serving = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket = transport.get_extra_info("socket")
        self._service.opened()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent: a part of a request, or several."""
        missing = self._body_missing
        if missing:
            size = len(data)
            if size < missing:
                self._body_chunks.append(data)
                self._body_missing = missing - size
                self._acknowledge()
                return
            self._body_chunks.append(data if size == missing else data[:missing])
            self._body_missing = 0
            body = b"".join(self._body_chunks)
            self._body_chunks = []
            if size > missing:
                self._ahead = data[missing:]
            self._handle(body)
        elif self._busy or self._serving:
            self._ahead += data
            if len(self._ahead) > _PAUSE_BYTES and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            return
        else:
            self._ahead = self._ahead + data if self._ahead else data
        if self._ahead and not self._busy:
            self._serve()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client; who waits for its leaving is told."""
        self._transport = self._socket = None
        self._ahead = b""
        if self._on_lost is not None:
            self._on_lost()
            self._on_lost = None

    # How the service answers.

    def respond(self, answer: bytes) -> None:
        """Send a whole answer."""
        transport = self._transport
        if transport is None:
            return
        transport.write(answer)
        if self._closing:
            transport.close()
            return
        self._busy = False
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if self._ahead and not self._serving:
            self._serve()

    def hang(self, until_lost: Callable[[], None]) -> None:
        """Send nothing, and call back when the client has given up."""
        if self._transport is None:
            until_lost()
        else:
            self._on_lost = until_lost

    def finish(self, sent: bytes = b"") -> None:
        """Send some bytes, or none, and close in good order."""
        if self._transport is not None:
            self._transport.write(sent)
            self._transport.close()

    def reset(self) -> None:
        """Reset the connection: the client sees ECONNRESET."""
        if self._transport is not None and self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
            self._transport.abort()

    def stall(self, sent: bytes, until_lost: Callable[[], None]) -> None:
        """Send some bytes and no more, and call back when the client has given up."""
        if self._transport is not None:
            self._transport.write(sent)
        self.hang(until_lost)

    def drip(self, head: bytes, body: bytes, interval: float, done: Callable[[], None]) -> None:
        """Send a head, then a body byte by byte; call back when it is sent or the client gone.

        :param interval: seconds between two bytes
        """
        if self._transport is not None:
            self._transport.write(head)
        self._drip(body, 0, interval, done)

    # Inside.

    def _drip(self, body: bytes, at: int, interval: float, done: Callable[[], None]) -> None:
        if self._transport is None:
            done()
        elif at >= len(body) - 1:
            done()
            self.respond(body[at:])
        else:
            self._transport.write(body[at : at + 1])
            self._loop.call_later(interval, self._drip, body, at + 1, interval, done)

    def _acknowledge(self) -> None:
        """Acknowledge a part of a request at once.

        A client without TCP_NODELAY (as awscrt's) holds back its next small segment until the last
        is acknowledged, which Linux puts off for 40 ms; over the loopback device, whose segments
        hold 64 KB, that is every second piece of a long request. The setting lasts for one time.
        """
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _serve(self) -> None:
        """Answer what is ahead, as far as it is whole and nothing before it waits."""
        self._serving = True
        while self._ahead and not self._busy and not self._body_missing:
            if self._transport is None or not self._parse():
                break
        self._serving = False

    def _parse(self) -> bool:
        """Take the next request off what is ahead; return False when more must come first."""
        data = self._ahead
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        self._line = data[: data.index(b"\r\n")]
        self._head = head = data[: end + 2].lower()
        length = 0
        at = head.find(_CONTENT_LENGTH)
        if at >= 0:
            text = header(head, _CONTENT_LENGTH)
            if not text.isdigit():
                self._refuse(HTTPStatus.BAD_REQUEST)
                return False
            length = int(text)
            if length > MAX_BODY_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return False
        elif b"\r\ntransfer-encoding:" in head:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return False
        if b"\r\nconnection: close\r\n" in head or _HTTP_1_0 in head:
            self._closing = True
        body = data[end + 4 : end + 4 + length]
        if len(body) < length:
            self._ahead = b""
            self._body_chunks = [body] if body else []
            self._body_missing = length - len(body)
            self._acknowledge()
            if b"\r\nexpect: 100-continue\r\n" in head and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self._ahead = data[end + 4 + length :]
        self._handle(body)
        return True

    def _handle(self, body: bytes) -> None:
        self._busy = True
        self._service.handle(self, self._line, self._head, body)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a request that cannot be read, and read no more."""
        self._busy = self._closing = True
        head, body = response(status, {"Connection": "close"}, status.phrase.encode())
        self.respond(head + body)
