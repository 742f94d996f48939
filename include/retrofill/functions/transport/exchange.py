"""One HTTP exchange: a request to the function's endpoint, and its response."""

import io
import math
from http import HTTPStatus
from time import monotonic

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection, HttpClientStream, HttpRequest

from retrofill.functions.client import NoReply, Reply

MAX_REPLY_BYTES = 7 * 1024 * 1024
"""The longest response that is read. A result for 10,000 items, the most in a call, needs less."""


class Exchange:
    """A request in flight. awscrt's thread fills in the response, piece by piece.

    :param tag: the sender's number for it
    :param body: the stream from which awscrt reads the payload
    :param length: the length of the payload in bytes
    """

    __slots__ = (
        "_body", "_chunks", "_cut", "_headers", "_length", "_size", "_status",
        "began", "connection", "deadline", "request", "tag",
    )  # fmt: skip

    def __init__(self, tag: int, request: HttpRequest, body: io.BytesIO, length: int) -> None:
        self.tag = tag
        self.request = request
        self.began = 0.0
        self.deadline = math.inf
        self.connection: HttpClientConnection | None = None
        self._body = body
        self._length = length
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._cut = False

    def on_response(
        self,
        http_stream: HttpClientStream,  # noqa: ARG002  awscrt passes it by this name
        status_code: int,
        headers: list[tuple[str, str]],
        **_: object,
    ) -> None:
        """Store the status and headers of the response."""
        self._status = status_code
        self._headers = headers

    def on_body(self, http_stream: HttpClientStream, chunk: bytes, **_: object) -> None:
        """Store a piece of the response's body; close the connection if it is too long."""
        self._size += len(chunk)
        if self._size <= MAX_REPLY_BYTES:
            self._chunks.append(chunk)
        elif not self._cut:
            self._cut = True
            self._chunks.clear()
            http_stream.connection.close()

    def completion(self, error: BaseException | None) -> Reply | NoReply:
        """Return the result, once awscrt is done with the request."""
        headers = {name.lower(): value for name, value in self._headers}
        took_ms = math.ceil((monotonic() - self.began) * 1_000)
        if self._cut:
            return Reply(self.tag, self._status, headers, b"", cut=True, took_ms=took_ms)
        if error is not None:
            # Head and first piece of the body leave together: nothing read means nothing sent.
            sent = self._length == 0 or self._body.tell() > 0
            return NoReply(self.tag, sent, in_a_line(error))
        if (
            HTTPStatus.OK <= self._status < HTTPStatus.MULTIPLE_CHOICES
            and self._status != HTTPStatus.NO_CONTENT
            and "content-length" not in headers
            and "transfer-encoding" not in headers
        ):
            # awscrt considers such a response empty, whatever follows.
            return NoReply(self.tag, sent=True, error="the response does not name its length")
        return Reply(self.tag, self._status, headers, b"".join(self._chunks), took_ms=took_ms)


def in_a_line(error: BaseException | None) -> str:
    """Return an error's name and message in one line."""
    if isinstance(error, AwsCrtError):
        return f"{error.name}: {error.message}"
    return " ".join(f"{type(error).__name__}: {error}".split())
