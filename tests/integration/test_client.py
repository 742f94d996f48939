"""The data plane with real HTTP: the scripted endpoint, raw sockets, a proxy, the emulator."""

import io
import json
import random
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from retrofill.engine.outcomes import Ending, Outcome
from retrofill.functions.aws_lambda.client import invoke_client
from retrofill.functions.aws_lambda.outcomes import classify
from retrofill.functions.client import NoReply, Payload, Reply
from retrofill.functions.transport import client as client_module
from retrofill.functions.transport import exchange as exchange_module
from retrofill.functions.transport.client import HttpClient
from retrofill.model.errors import ConfigError

from stack.endpoint import Reply as Scripted
from stack.endpoint import Rule, Script, ScriptedEndpoint, Span, Wire, scripted_endpoint
from stack.endpoint.aws_errors import lambda_errors
from tests.integration.certificates import Certificates, make_certificates
from tests.integration.raw_server import Proxy, RawServer, Request, http_answer

ARN = "arn:aws:lambda:us-east-1:000000000000:function:scripted"
KEYS = Credentials("AKIDEXAMPLE", "a secret", "a/session+token==")
BODY = b'{"items":["a"]}'
EVENT = Payload(BODY)
PATIENCE_S = 60
"""How long a test waits for an expected event; it measures nothing."""


@pytest.fixture
def open_client() -> Iterator[Callable[..., HttpClient]]:
    """A function that opens clients, which are closed after the test."""
    with ExitStack() as stack:

        def opened(endpoint_url: str, **changes: object) -> HttpClient:
            settings: dict[str, object] = {
                "endpoint_url": endpoint_url,
                "region": "us-east-1",
                "credentials": KEYS,
                "function_arn": ARN,
                "qualifier": "1",
                "deadline_s": PATIENCE_S,
                "max_in_flight": 100,
                **changes,
            }
            return stack.enter_context(closing(invoke_client(**settings)))  # type: ignore[arg-type]

        yield opened


def completions(client: HttpClient, calls: int) -> list[Reply | NoReply]:
    """Return the outcomes of this many calls in order of tag; check that there are no more."""
    gathered = [client.completions.get(timeout=PATIENCE_S) for _ in range(calls)]
    assert client.completions.empty()
    return sorted(gathered, key=lambda one: one.tag)


def call(client: HttpClient, body: bytes = BODY) -> Reply | NoReply:
    client.send(0, Payload(body))
    return completions(client, 1)[0]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint() as running:
        yield running


def follow(endpoint: ScriptedEndpoint, *rules: Rule, latency: float = 0.0, answer: str = "null"):
    endpoint.script(Script(rules=rules, latency=latency, answer=answer))
    endpoint.reset()


# Responses.


def test_a_complete_response_is_read(endpoint, open_client):
    follow(endpoint, answer='{"done": true}')
    client = open_client(endpoint.url)
    client.send(41, EVENT)
    (reply,) = completions(client, 1)
    assert isinstance(reply, Reply)
    assert (reply.tag, reply.status, reply.body) == (41, 200, b'{"done": true}')
    ended = classify(reply)
    assert (ended.kind, ended.executed_version) == (Outcome.SUCCEEDED, "1")
    assert len(ended.request_id) == 36


def test_the_request_is_the_expected_one(open_client):
    with RawServer(lambda _: http_answer()) as server:
        client = open_client(server.url, qualifier="live")
        assert call(client).body == b"null"
        (request,) = server.requests
    path = ARN.replace(":", "%3A")
    assert request.line == f"POST /2015-03-31/functions/{path}/invocations?Qualifier=live HTTP/1.1"
    assert request.body == BODY
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["x-amz-invocation-type"] == "RequestResponse"
    assert request.headers["x-amz-security-token"] == KEYS.token
    assert "x-amz-log-type" not in request.headers
    assert "x-amz-tenant-id" not in request.headers


def test_the_tenant_is_sent_and_signed(open_client):
    with RawServer(lambda _: http_answer()) as server:
        call(open_client(server.url, tenant_id="blue team"))
        (request,) = server.requests
    assert request.headers["x-amz-tenant-id"] == "blue team"
    assert "x-amz-tenant-id" in request.headers["authorization"], "it is signed"


def test_an_endpoint_may_have_a_path_and_no_qualifier(open_client):
    with RawServer(lambda _: http_answer()) as server:
        call(open_client(f"{server.url}/aws/", qualifier="", function_arn="f"))
        (request,) = server.requests
    assert request.line == "POST /aws/2015-03-31/functions/f/invocations HTTP/1.1"


def test_the_signature_equals_botocores(open_client):
    with RawServer(lambda _: http_answer()) as server:
        call(
            open_client(server.url),
            b'{"key":"\xc3\xa9 +%2B"}' * 9_999,
        )
        (request,) = server.requests
    credential, signed, signature = request.headers["authorization"].split(", ")
    names = signed.removeprefix("SignedHeaders=").split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= {*names}

    method, target, _ = request.line.split(" ")
    theirs = AWSRequest(
        method,
        f"http://{request.headers['host']}{target}",
        {name: request.headers[name] for name in names},
        request.body,
    )
    theirs.context["timestamp"] = request.headers["x-amz-date"]
    auth = SigV4Auth(KEYS, "lambda", "us-east-1")
    text = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    assert signature == f"Signature={auth.signature(text, theirs)}"
    assert credential == f"AWS4-HMAC-SHA256 Credential={auth.scope(theirs)}"


def test_a_chunked_response_is_read(open_client):
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnul\r\n1\r\nl\r\n0\r\n\r\n"
    )
    with RawServer(lambda _: chunked) as server:
        assert call(open_client(server.url)).body == b"null"


def test_header_names_are_case_insensitive(open_client):
    fields = (
        "X-AMZN-ERRORTYPE: TooManyRequestsException:http://internal.amazon.com/",
        "retry-after: 3",
        "X-Amzn-Requestid: an id",
        "X-AMZ-EXECUTED-VERSION: 12",
    )
    with RawServer(lambda _: http_answer(b"{}", *fields, status="429 Slow")) as server:
        reply = call(open_client(server.url))
    assert classify(reply) == Ending(
        Outcome.THROTTLED,
        "TooManyRequestsException",
        retry_after_s=3.0,
        request_id="an id",
        executed_version="12",
    )


def test_the_header_of_a_failed_function_is_case_insensitive(open_client):
    with RawServer(lambda _: http_answer(b"{}", "X-AMZ-Function-ERROR: Handled")) as server:
        ended = classify(call(open_client(server.url)))
    assert (ended.kind, ended.error_type, ended.cause) == (Outcome.FAILED, "Handled", "handled")


def test_every_error_of_lambda_is_sent_once_and_classified(endpoint, open_client):
    names = sorted(lambda_errors())
    rules = [
        Rule(calls=frozenset({n}), reply=Scripted(error=name)) for n, name in enumerate(names, 1)
    ]
    follow(endpoint, *rules)
    client = open_client(endpoint.url, max_in_flight=1)
    ended = [classify(call(client)) for _ in names]
    assert [one.error_type for one in ended] == names
    assert Outcome.SUCCEEDED not in {one.kind for one in ended}
    stats = endpoint.stats()
    assert (stats.requests, stats.connections) == (len(names), 1 + 1)  # one to observe


@pytest.mark.parametrize("error_type", ["KeyError", "Sandbox.Timedout", "Runtime.OutOfMemory"])
def test_a_function_error_is_a_failure(error_type, endpoint, open_client):
    given = {"Runtime.OutOfMemory": "Runtime.ExitError"}.get(error_type, error_type)
    follow(endpoint, Rule(reply=Scripted(function_error=given)))
    ended = classify(call(open_client(endpoint.url)))
    assert (ended.kind, ended.error_type) == (Outcome.FAILED, error_type)


def test_a_payload_that_lambda_refuses_is_sent_completely(endpoint, open_client):
    follow(endpoint)
    ended = classify(call(open_client(endpoint.url), b"9" * (6 * 1024 * 1024 + 1)))
    assert (ended.kind, ended.error_type) == (Outcome.TOO_LARGE, "RequestTooLargeException")
    assert endpoint.stats().requests == 1


def test_a_response_of_six_megabytes_is_read(open_client):
    body = b'"' + b"x" * (6 * 1024 * 1024 - 2) + b'"'
    with RawServer(lambda _: http_answer(body)) as server:
        assert call(open_client(server.url)).body == body


def test_an_empty_payload_is_sent(endpoint, open_client):
    follow(endpoint)
    assert call(open_client(endpoint.url), b"").status == 200


# Missing responses.

BROKEN = (Wire.HANG, Wire.FIN, Wire.RST, Wire.CUT, Wire.STALL, Wire.DRIP)


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("wire", BROKEN)
def test_a_broken_response_is_unknown_and_its_request_was_sent_once(
    wire, runs, endpoint, open_client
):
    reply = Scripted(wire=wire, runs=runs, body="x" * 1_000)
    follow(endpoint, Rule(calls=Span(first=1, last=3), reply=reply))
    client = open_client(endpoint.url, deadline_s=2.0)
    for tag in range(6):
        client.send(tag, EVENT)
    ended = completions(client, 6)
    lost = [one for one in ended if isinstance(one, NoReply)]
    assert len(lost) == 3
    assert all(one.sent and one.error for one in lost)
    assert {classify(one).kind for one in lost} == {Outcome.UNKNOWN}
    assert [classify(one).kind for one in ended if one not in lost] == [Outcome.SUCCEEDED] * 3
    stats = endpoint.stats()
    assert stats.invocations == 6
    assert stats.executions == (6 if runs else 3)
    # Broken connections are not used again, and the client still works.
    assert classify(call(client)).kind is Outcome.SUCCEEDED
    assert endpoint.stats().invocations == 7


def test_a_slow_response_that_ends_in_time_is_complete(endpoint, open_client):
    reply = Scripted(wire=Wire.DRIP, body='"0123456789"', drip_interval=0.01)
    follow(endpoint, Rule(reply=reply))
    assert call(open_client(endpoint.url)).body == b'"0123456789"'


def test_a_response_that_is_too_long_is_cut(open_client, monkeypatch):
    monkeypatch.setattr(exchange_module, "MAX_REPLY_BYTES", 1_000)
    with RawServer(lambda _: http_answer(b"x" * 1_000_000)) as server:
        client = open_client(server.url)
        answer = call(client)
        assert (answer.status, answer.body, answer.cut) == (200, b"", True)
        assert len(server.requests) == 1


@pytest.mark.parametrize("rest", [b"", b'{"batchItemFailures":[]}'])
def test_a_response_of_unknown_length_is_not_taken_for_complete(rest, open_client):
    with RawServer(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + rest) as server:
        reply = call(open_client(server.url, deadline_s=2.0))
    assert isinstance(reply, NoReply)
    assert reply.sent


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        b"\0" * 100 + b"\r\n\r\n",
    ],
)
def test_bytes_that_are_not_http_are_not_a_response(answer, open_client):
    with RawServer(lambda _: answer) as server:
        reply = call(open_client(server.url, deadline_s=2.0))
    assert isinstance(reply, NoReply)
    assert reply.sent


def test_a_call_whose_connection_is_refused_was_not_sent(open_client):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        client = open_client(f"http://127.0.0.1:{unheard.getsockname()[1]}")
        for tag in range(20):
            client.send(tag, EVENT)
        ended = completions(client, 20)
    assert [one.tag for one in ended] == list(range(20))
    for one in ended:
        assert isinstance(one, NoReply)
        assert not one.sent
        assert classify(one).kind is Outcome.STARTING


def test_a_call_to_an_unknown_host_was_not_sent(open_client):
    reply = call(open_client("http://no-such-host.invalid"))
    assert isinstance(reply, NoReply)
    assert not reply.sent


def test_a_silent_proxy_ends_calls_after_the_connect_timeout(open_client, monkeypatch):
    monkeypatch.setattr(client_module, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = open_client("https://127.0.0.1:1", proxy_url=proxy_url)
        client.send(1, EVENT)
        client.send(2, EVENT)
        expected = [NoReply(tag, sent=False, error="no connection within 0.3 s") for tag in (1, 2)]
        assert completions(client, 2) == expected


# Connections.


def test_connections_are_reused_and_as_few_as_needed(endpoint, open_client):
    follow(endpoint, latency=0.01)
    client = open_client(endpoint.url, max_in_flight=20)
    done, sent = 0, 0
    while done < 400:
        while sent < 400 and sent - done < 20:
            client.send(sent, EVENT)
            sent += 1
        assert isinstance(client.completions.get(timeout=PATIENCE_S), Reply)
        done += 1
    stats = endpoint.stats()
    assert stats.invocations == 400
    assert stats.max_in_flight <= 20
    assert stats.connections <= 20 + 1  # one to observe


def test_a_connection_closed_by_the_server_is_not_reused(open_client):
    with RawServer(lambda _: http_answer(b"null", "Connection: close")) as server:
        client = open_client(server.url)
        assert [call(client).status for _ in range(5)] == [200] * 5
        assert (server.connections, len(server.requests)) == (5, 5)


def test_a_connection_that_was_idle_too_long_is_not_reused(open_client, monkeypatch):
    with RawServer(lambda _: http_answer()) as server:
        client = open_client(server.url)
        call(client)
        call(client)
        assert server.connections == 1
        monkeypatch.setattr(client_module, "IDLE_S", 0.0)
        call(client)
        assert server.connections == 2


def test_an_idle_connection_dropped_by_the_server_loses_no_request(open_client):
    """The server closes silently after each response: the next request must not be lost."""
    closed = threading.Event()

    class Dropping(RawServer):
        def handle(self, request: Request, accepted: socket.socket) -> bool:
            super().handle(request, accepted)
            accepted.shutdown(socket.SHUT_RDWR)
            closed.set()
            return False

    with Dropping(lambda _: http_answer()) as server:
        client = open_client(server.url)
        for _ in range(5):
            assert call(client).status == 200
            assert closed.wait(PATIENCE_S)
            closed.clear()
            until = time.monotonic() + PATIENCE_S
            while any(one.is_open() for one, _ in client._idle):  # noqa: SLF001
                assert time.monotonic() < until
                time.sleep(0.001)
        assert len(server.requests) == 5


def test_a_call_reported_as_unsent_was_not_sent(open_client):
    """The server drops idle connections when the next request may be on its way."""
    rng = random.Random(5)  # noqa: S311

    class Hasty(RawServer):
        def handle(self, request: Request, accepted: socket.socket) -> bool:
            super().handle(request, accepted)
            accepted.settimeout(rng.random() * 0.002)
            try:
                accepted.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                return False
            accepted.settimeout(None)
            return True

    replies, unsent, unknown = set(), set(), set()
    with Hasty(lambda _: http_answer()) as server:
        client = open_client(server.url)
        for tag in range(500):
            client.send(tag, Payload(str(tag).encode()))
            (ended,) = completions(client, 1)
            if isinstance(ended, Reply):
                replies.add(tag)
            else:
                (unknown if ended.sent else unsent).add(tag)
            time.sleep(rng.random() * 0.003)
        seen = [int(one.body) for one in server.requests]
    assert len(seen) == len(set(seen))
    assert replies <= set(seen) <= replies | unknown
    assert replies | unsent | unknown == set(range(500))


def test_every_call_ends_once_whatever_happens(endpoint, open_client):
    wires = (Wire.FIN, Wire.RST, Wire.CUT, Wire.STALL)
    faults = [Rule(probability=0.05, reply=Scripted(wire=wire, body="xx")) for wire in wires]
    throttle = Rule(probability=0.05, reply=Scripted(error="TooManyRequestsException"))
    follow(endpoint, *faults, throttle, latency=0.01)
    client = open_client(endpoint.url, deadline_s=3.0)
    ended: list[Reply | NoReply] = []
    for tag in range(2_000):
        client.send(tag, Payload(b'{"items":["%d"]}' % tag))
        if tag >= 99:
            ended.append(client.completions.get(timeout=PATIENCE_S))
    ended += completions(client, 99)
    assert sorted(one.tag for one in ended) == list(range(2_000))
    assert endpoint.stats().invocations == 2_000
    assert set(endpoint.items(of="received").values()) == {1}
    kinds = {classify(one).kind for one in ended}
    assert kinds == {Outcome.SUCCEEDED, Outcome.UNKNOWN, Outcome.THROTTLED}


def test_a_call_above_max_in_flight_is_refused(endpoint, open_client):
    follow(endpoint, Rule(reply=Scripted(wire=Wire.HANG)))
    client = open_client(endpoint.url, max_in_flight=2)
    client.send(0, EVENT)
    client.send(1, EVENT)
    with pytest.raises(RuntimeError, match="2 requests are open"):
        client.send(2, EVENT)


def threads() -> int:
    return psutil.Process().num_threads()


def test_closing_ends_open_calls_and_every_thread(endpoint):
    follow(endpoint, Rule(reply=Scripted(wire=Wire.HANG)))
    before = threads()
    client = invoke_client(
        endpoint_url=endpoint.url, region="us-east-1", credentials=KEYS, function_arn=ARN,
        qualifier="1", deadline_s=60, max_in_flight=10,
    )  # fmt: skip
    for tag in range(3):
        client.send(tag, EVENT)
    until = time.monotonic() + PATIENCE_S
    while endpoint.stats().in_flight < 3:
        assert time.monotonic() < until
    client.close()
    client.close()
    assert completions(client, 3) == [
        NoReply(tag, sent=True, error="the client was closed") for tag in range(3)
    ]
    with pytest.raises(RuntimeError, match="closed"):
        client.send(3, EVENT)
    while threads() > before or endpoint.stats().in_flight:
        assert time.monotonic() < until
        time.sleep(0.01)


# Credentials.


def test_credentials_are_renewed_while_they_are_in_use(open_client):
    renewed = 0

    def renew() -> dict[str, str]:
        nonlocal renewed
        renewed += 1
        # So near to their expiry that botocore renews them at each use.
        expiry = datetime.now(UTC) + timedelta(seconds=1)
        return {
            "access_key": f"AKID{renewed}", "secret_key": f"secret {renewed}",
            "token": f"token-{renewed}", "expiry_time": expiry.isoformat(),
        }  # fmt: skip

    keys = RefreshableCredentials.create_from_metadata(renew(), renew, "a test")
    with RawServer(lambda _: http_answer()) as server:
        client = open_client(server.url, credentials=keys)
        for _ in range(3):
            call(client)
        used = [
            (one.headers["authorization"].split("/")[0].split("=")[1],
             one.headers["x-amz-security-token"])
            for one in server.requests
        ]  # fmt: skip
    assert used == [(f"AKID{n}", f"token-{n}") for n in (2, 3, 4)]


def test_keys_without_a_session_sign(open_client):
    with RawServer(lambda _: http_answer()) as server:
        call(open_client(server.url, credentials=Credentials("AKID", "secret")))
        assert "x-amz-security-token" not in server.requests[0].headers


def test_missing_credentials_are_an_error(open_client):
    class Broken:
        def get_frozen_credentials(self) -> None:
            raise ConnectionError("the instance's role\ndoes not answer")

    with RawServer(lambda _: http_answer()) as server:
        client = open_client(server.url, credentials=Broken())
        error = "not signed: ConnectionError: the instance's role does not answer"
        assert call(client) == NoReply(0, sent=False, error=error)
        assert server.connections == 0


# TLS and proxies.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_endpoint(certificates: Certificates) -> Iterator[RawServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    with RawServer(lambda _: http_answer(b'"over TLS"'), context) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_uses_a_private_certificate_authority(host, tls_endpoint, certificates, open_client):
    url = f"https://{host}:{tls_endpoint.port}"
    client = open_client(url, verify=str(certificates.authority))
    assert call(client).body == b'"over TLS"'


def test_tls_verification_can_be_switched_off(tls_endpoint, open_client):
    assert call(open_client(tls_endpoint.url, verify=False)).body == b'"over TLS"'


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait until awscrt reports a failed handshake, which takes 10 to 30 seconds."""
    monkeypatch.setattr(client_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(client_module, "CLOSE_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_trusted_gets_no_request(tls_endpoint, open_client):
    seen = len(tls_endpoint.requests)
    reply = call(open_client(tls_endpoint.url, verify=True))
    assert isinstance(reply, NoReply)
    assert not reply.sent
    assert len(tls_endpoint.requests) == seen


@pytest.mark.usefixtures("impatient")
def test_a_certificate_for_another_name_is_not_trusted(tls_endpoint, certificates, open_client):
    # A tunnel, so that another name leads to the same server.
    seen = len(tls_endpoint.requests)
    with Proxy(tunnel_to=tls_endpoint.port) as proxy:
        client = open_client(
            "https://lambda.example",
            verify=str(certificates.authority),
            proxy_url=f"http://127.0.0.1:{proxy.port}",
        )
        reply = call(client)
        client.close()
        assert len(proxy.requests) == 1
    assert isinstance(reply, NoReply)
    assert not reply.sent
    assert len(tls_endpoint.requests) == seen


def test_broken_responses_over_tls_are_unknown(certificates, open_client):
    with scripted_endpoint(
        Script(
            rules=tuple(
                Rule(calls=frozenset({n}), reply=Scripted(wire=wire, body="x" * 1_000))
                for n, wire in enumerate(BROKEN, 1)
            )
        ),
        certificate=certificates.server,
    ) as endpoint:
        client = open_client(endpoint.url, verify=str(certificates.authority), deadline_s=2.0)
        for tag in range(len(BROKEN) + 1):
            client.send(tag, EVENT)
        ended = completions(client, len(BROKEN) + 1)
        assert sum(isinstance(one, Reply) for one in ended) == 1
        assert all(one.sent for one in ended if isinstance(one, NoReply))
        assert endpoint.stats().invocations == len(BROKEN) + 1


def test_plain_http_is_forwarded_by_a_proxy(open_client):
    with Proxy() as proxy:
        proxy_url = f"http://us%40er:p%3Ass@127.0.0.1:{proxy.port}"
        client = open_client("http://lambda.example:8080", proxy_url=proxy_url)
        assert [call(client).body for _ in range(2)] == [b'"forwarded"'] * 2
        first, _ = proxy.requests
        assert proxy.connections == 1
    assert first.line.startswith("POST http://lambda.example:8080/2015-03-31/functions/")
    assert first.headers["host"] == "lambda.example:8080"
    assert first.headers["proxy-authorization"] == "Basic dXNAZXI6cDpzcw=="


def test_https_is_tunnelled_by_a_proxy(tls_endpoint, certificates, open_client):
    with Proxy() as proxy:
        client = open_client(
            tls_endpoint.url,
            verify=str(certificates.authority),
            proxy_url=f"http://127.0.0.1:{proxy.port}",
        )
        assert [call(client).body for _ in range(2)] == [b'"over TLS"'] * 2
        client.close()
        (connect,) = proxy.requests
    assert connect.line == f"CONNECT 127.0.0.1:{tls_endpoint.port} HTTP/1.1"
    assert "authorization" not in connect.headers


def test_a_call_that_a_proxy_refuses_was_not_sent(open_client):
    with RawServer(lambda _: http_answer(b"", status="407 Proxy Authentication Required")) as proxy:
        client = open_client("https://lambda.example", proxy_url=proxy.url)
        reply = call(client)
    assert isinstance(reply, NoReply)
    assert not reply.sent


def test_the_environments_proxy_is_not_used(endpoint, open_client, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    follow(endpoint)
    assert call(open_client(endpoint.url)).status == 200


# Settings that cannot be used.


@pytest.mark.parametrize(("setting", "value", "says"), [
    ("endpoint_url", "lambda.example", "endpoint_url"),
    ("endpoint_url", "ftp://lambda.example", "endpoint_url"),
    ("endpoint_url", "http://", "endpoint_url"),
    ("endpoint_url", "http://host:0", "endpoint_url"),
    ("endpoint_url", "http://host:99999", "endpoint_url"),
    ("endpoint_url", "http://[::1", "endpoint_url"),
    ("endpoint_url", "http://user:pw@host", "endpoint_url"),
    ("endpoint_url", "http://host/?a=b", "endpoint_url"),
    ("endpoint_url", "http://host/#a", "endpoint_url"),
    ("proxy_url", "proxy:3128", "proxy_url"),
    ("proxy_url", "socks5://proxy:1080", "proxy_url"),
    ("credentials", None, "aws_conn_id"),
    ("deadline_s", 0, "deadline_s"),
    ("deadline_s", float("nan"), "deadline_s"),
    ("max_in_flight", 0, "max_in_flight"),
])  # fmt: skip
def test_a_bad_setting_is_named(setting, value, says, open_client):
    with pytest.raises(ConfigError, match=f"^{says}: ") as raised:
        open_client(**{"endpoint_url": "http://127.0.0.1:1", setting: value})
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_unreadable_certificates_are_named(content, tmp_path, open_client):
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"verify: {path}"):
        open_client("https://127.0.0.1:1", verify=str(path))


# The emulator's own Lambda.


def test_a_function_in_the_emulator_is_called(aws, lambda_client, open_client):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("f.py", (
            "def handler(event, context):\n"
            "    if event.get('fail'):\n"
            "        raise KeyError('no such order')\n"
            "    return {'got': event}\n"
        ))  # fmt: skip
    name = "client-test"
    lambda_client.create_function(
        FunctionName=name, Runtime="python3.11", Handler="f.handler",
        Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": code.getvalue()}, Publish=True,
    )  # fmt: skip
    lambda_client.get_waiter("function_active_v2").wait(FunctionName=name)
    arn = lambda_client.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    client = open_client(
        aws, credentials=Credentials("test", "test"), function_arn=arn, qualifier="1"
    )
    reply = call(client, '{"key": "ä+%2B"}'.encode())
    assert isinstance(reply, Reply)
    ended = classify(reply)
    assert (ended.kind, ended.executed_version) == (Outcome.SUCCEEDED, "1")
    assert json.loads(reply.body) == {"got": {"key": "ä+%2B"}}

    ended = classify(call(client, b'{"fail": true}'))
    assert ended.kind is Outcome.FAILED
    assert "no such order" in ended.message

    missing = open_client(aws, credentials=Credentials("test", "test"), function_arn=arn + "-not")
    ended = classify(call(missing))
    assert (ended.kind, ended.error_type) == (Outcome.MISCONFIGURED, "ResourceNotFoundException")
