"""The data plane of HTTP functions, with raw sockets: requests and possible responses."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from retrofill.engine.outcomes import Outcome
from retrofill.functions.client import NoReply, Reply
from retrofill.functions.http import KIND
from retrofill.functions.http.access import access
from retrofill.functions.http.client import http_client, idempotency_key
from retrofill.functions.http.outcomes import classify
from retrofill.functions.http.params import HttpParams
from retrofill.functions.kind import Asked
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.model.payload import Payload

from tests.integration.certificates import make_certificates
from tests.integration.endpoint.clients import eventually
from tests.integration.raw_server import RawServer, Request, http_answer

PATIENCE_S = 60
PAYLOAD = Payload(b'{"items":[]}', "application/cloudevents+json", (("ce-id", "1"),), bytes(16))


def fields(url: str, **more: Any) -> ConnectionFields:
    return ConnectionFields(conn_id="f", conn_type="http", host=url, **more)


def called(
    url: str, deadline_s: float = PATIENCE_S, params: dict[str, Any] | None = None, **more: Any
) -> Reply | NoReply:
    found = access(fields(url, **more), HttpParams(http_conn_id="f", **(params or {})))
    method = (params or {}).get("http_method", "POST")
    made = http_client(found, method=method, deadline_s=deadline_s, max_in_flight=1)
    with closing(made) as client:
        client.send(7, PAYLOAD)
        return client.completions.get(timeout=PATIENCE_S)


class Given:
    """Connections with a single member."""

    def __init__(self, connection: ConnectionFields) -> None:
        self._connection = connection

    def get(self, conn_id: str) -> ConnectionFields:
        del conn_id
        return self._connection


def resolve(url: str, **more: Any) -> Any:
    params = HttpParams(http_conn_id="f")
    return KIND.resolve(params, Asked(Given(fields(url, **more)), ""))  # type: ignore[arg-type]


def test_the_request_is_the_expected_one():
    params = {"http_path": "/run", "http_query": {"a": "b"}, "http_headers": {"X-A": "1"}}
    with RawServer(lambda _: http_answer()) as server:
        called(server.url, params={**params, "http_method": "PUT"}, login="me", password="x")  # noqa: S106
        (request,) = server.requests
    assert request.line == "PUT /run?a=b HTTP/1.1"
    assert request.body == PAYLOAD.body
    sent = {name: request.headers[name] for name in request.headers if name != "content-length"}
    assert sent == {
        "host": f"127.0.0.1:{server.port}", "user-agent": "retrofill", "x-a": "1",
        "authorization": "Basic bWU6eA==", "content-type": "application/cloudevents+json",
        "ce-id": "1", "idempotency-key": idempotency_key("", bytes(16)),
    }  # fmt: skip


ANSWERS: dict[str, tuple[Callable[[Request], bytes | None], Outcome]] = {
    "whole": (lambda _: http_answer(b"{}"), Outcome.SUCCEEDED),
    "no content": (lambda _: b"HTTP/1.1 204 No Content\r\n\r\n", Outcome.SUCCEEDED),
    "truncated": (
        lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\nhalf",
        Outcome.UNKNOWN,
    ),
    "of no known length": (lambda _: b"HTTP/1.1 201 Created\r\n\r\n{}", Outcome.UNKNOWN),
    "closed": (lambda _: None, Outcome.UNKNOWN),
    "no HTTP": (lambda _: b"nonsense\r\n\r\n", Outcome.UNKNOWN),
    "throttled": (lambda _: http_answer(b"", "Retry-After: 3", status="429 No"), Outcome.THROTTLED),
    "failed": (lambda _: http_answer(b"no", status="500 No"), Outcome.FAILED),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_response_is_classified_and_its_request_was_sent_once(name: str):
    answer, outcome = ANSWERS[name]
    with RawServer(answer) as server:
        deadline_s = 2.0 if outcome is Outcome.UNKNOWN else PATIENCE_S
        assert classify(called(server.url, deadline_s=deadline_s)).kind is outcome
        assert len(server.requests) == 1


def test_a_late_response_is_unknown():
    answered = threading.Event()

    def late(_: Request) -> bytes:
        answered.wait(PATIENCE_S)
        return http_answer()

    with RawServer(late) as server:
        ended = called(server.url, deadline_s=0.3)
        answered.set()
    assert ended == NoReply(7, sent=True, error="no complete response within 0.3 s")


# Before the first call.


def test_looking_up_a_function_sends_no_request():
    with RawServer(lambda _: http_answer()) as server:
        assert resolve(server.url).name == f"{server.url}/"
        assert eventually(lambda: server.connections == 1)
        assert server.requests == []


def test_a_call_whose_connection_is_refused_was_not_sent():
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        with pytest.raises(FunctionUnavailable, match=f"127.0.0.1:{port} cannot be reached"):
            resolve(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RawServer, Path]]:
    """A server with a certificate, and the authority that signed it."""
    made = make_certificates(tmp_path_factory.mktemp("certificates"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    with RawServer(lambda _: http_answer(b"{}"), context) as server:
        yield server, made.authority


def test_tls_is_verified(secure: tuple[RawServer, Path]):
    server, authority = secure
    with pytest.raises(ConfigError, match=r"http_conn_id: .* check its certificate"):
        resolve(server.url)
    assert isinstance(called(server.url, deadline_s=2.0), NoReply)
    assert server.requests == []
    trusting = {"extra": {"verify": str(authority)}}
    resolve(server.url, **trusting)
    assert isinstance(called(server.url, **trusting), Reply)
    assert isinstance(called(server.url, extra={"verify": False}), Reply)
