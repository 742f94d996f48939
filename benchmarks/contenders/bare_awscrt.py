"""The limit: awscrt and nothing around it, each connection signing and sending one ready payload.

No event is encoded, no answer is read further than its status, nothing is written down.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpClientConnection, HttpClientStream, HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
from retrofill.functions.aws_lambda.client import invocation_path
from retrofill.functions.transport.endpoint import Endpoint

from benchmarks.contenders.work import (
    FUNCTION_ARN,
    GOOD_STATUS,
    QUALIFIER,
    REGION,
    Work,
    contend,
    encode,
)


class Loop:
    """All connections together, until the calls are made."""

    def __init__(self, work: Work) -> None:
        endpoint = Endpoint.parse(work.url)
        self._work = work
        self._payload = encode(work.items_of_a_call())
        self._path = invocation_path(endpoint, FUNCTION_ARN, QUALIFIER)
        self._headers = [
            ("Host", endpoint.authority),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(self._payload))),
        ]
        self._address = endpoint.host, endpoint.port
        loops = EventLoopGroup(1)
        self._bootstrap = ClientBootstrap(loops, DefaultHostResolver(loops))
        self._credentials = AwsCredentialsProvider.new_static("test", "test")
        self._left = work.calls
        self._ended: SimpleQueue[BaseException | int] = SimpleQueue()

    def make_calls(self) -> None:
        """Make all calls.

        :raises RuntimeError: one failed
        """
        self._left = self._work.calls
        for _ in range(min(self._work.in_flight, self._work.calls)):
            connecting = HttpClientConnection.new(*self._address, self._bootstrap)
            connecting.add_done_callback(lambda future: self._send(future.result()))
        for _ in range(self._work.calls):
            status = self._ended.get()
            if status != GOOD_STATUS:
                raise RuntimeError(f"a call ended with {status!r}")

    def _send(self, connection: HttpClientConnection) -> None:
        """Send the next call; awscrt's one thread alone comes here."""
        if not self._left:
            return
        self._left -= 1
        request = HttpRequest(
            "POST", self._path, HttpHeaders(self._headers), io.BytesIO(self._payload)
        )
        signing = AwsSigningConfig(
            credentials_provider=self._credentials, region=REGION, service="lambda"
        )
        aws_sign_request(request, signing).result()

        def ended(stream: HttpClientStream) -> None:
            error = stream.completion_future.exception()
            self._ended.put(error or stream.response_status_code)
            if error is None:
                self._send(connection)

        stream = connection.request(request)
        stream.completion_future.add_done_callback(lambda _: ended(stream))
        stream.activate()


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Make the payload."""
    yield Loop(work).make_calls


if __name__ == "__main__":
    contend(opened)
