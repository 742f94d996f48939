"""The lower bound: bare awscrt. Each connection signs and sends one ready payload.

It encodes no event, reads only the status of a response, and stores nothing.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from queue import SimpleQueue

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpClientConnection, HttpClientStream, HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
from retrofill.functions.aws_lambda.client import invocation_path
from retrofill.functions.transport.endpoint import Endpoint

from benchmarks.contenders.work import FUNCTION_ARN, QUALIFIER, REGION, Work, contend
from benchmarks.event import encode, items


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Encode the payload, and create everything that calls share except connections."""
    endpoint = Endpoint.parse(work.url)
    payload = encode(items(work.items_per_call))
    path = invocation_path(endpoint, FUNCTION_ARN, QUALIFIER)
    headers = [
        ("Host", endpoint.authority),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(payload))),
    ]
    loops = EventLoopGroup(1)
    bootstrap = ClientBootstrap(loops, DefaultHostResolver(loops))
    credentials = AwsCredentialsProvider.new_static("test", "test")
    left = iter(range(work.calls))
    statuses: SimpleQueue[BaseException | int] = SimpleQueue()

    def send(connection: HttpClientConnection) -> None:
        """Send the next call; only awscrt's one thread calls this."""
        if next(left, None) is None:
            return
        request = HttpRequest("POST", path, HttpHeaders(headers), io.BytesIO(payload))
        signing = AwsSigningConfig(
            credentials_provider=credentials, region=REGION, service="lambda"
        )
        aws_sign_request(request, signing).result()

        def ended(stream: HttpClientStream) -> None:
            error = stream.completion_future.exception()
            statuses.put(error or stream.response_status_code)
            if error is None:
                send(connection)

        stream = connection.request(request)
        stream.completion_future.add_done_callback(lambda _: ended(stream))
        stream.activate()

    def make_calls() -> None:
        for _ in range(min(work.in_flight, work.calls)):
            connecting = HttpClientConnection.new(endpoint.host, endpoint.port, bootstrap)
            connecting.add_done_callback(lambda future: send(future.result()))
        for _ in range(work.calls):
            if (status := statuses.get()) != HTTPStatus.OK:
                raise RuntimeError(f"a call ended with {status!r}")

    yield make_calls


if __name__ == "__main__":
    contend(opened)
