"""Breaks a request of an S3 client by its number, with a response that S3 may give."""

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ERROR = "<Error><Code>{code}</Code><Message>broken on purpose</Message></Error>"


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterable[bytes]:
        yield self._content

    def read(self, amount: int | None = None) -> bytes:
        del amount
        content, self._content = self._content, b""
        return content


class Breaker:
    """Answers one request of a client itself, when set to."""

    def __init__(self, client: "S3Client") -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._status, self._code = 0, ""
        client.meta.events.register("before-send.s3", self._answer)

    def break_with(self, status: int, code: str) -> Callable[[int], Callable[[], bool]]:
        """Return a function that breaks a request with a response, as the laws require."""

        def breaks(number: int) -> Callable[[], bool]:
            self._left, self._status, self._code = number, status, code
            return lambda: self._left <= 0

        return breaks

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return None
        body = _ERROR.format(code=self._code).encode()
        headers = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
        return AWSResponse(request.url, self._status, headers, _Body(body))
