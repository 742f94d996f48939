"""HTTP functions: what responses mean, and how the connection is read."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from awscrt.http import HttpHeaders, HttpRequest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.outcomes import Ending, Outcome
from retrofill.functions.client import NoReply, Reply
from retrofill.functions.http.access import Access, access
from retrofill.functions.http.client import idempotency_key
from retrofill.functions.http.outcomes import classify
from retrofill.functions.http.params import HttpParams
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError

from tests.integration.raw_server import RawServer, Request, http_answer

NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(7, status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


STATUSES = {
    **dict.fromkeys((200, 201, 202, 204), Outcome.SUCCEEDED),
    **dict.fromkeys((301, 302, 307, 401, 403, 404, 405, 410, 415, 501), Outcome.MISCONFIGURED),
    **dict.fromkeys((400, 409, 418, 422, 500), Outcome.FAILED),
    **dict.fromkeys((408, 502, 504, 520), Outcome.UNKNOWN),
    **dict.fromkeys((425, 503), Outcome.STARTING),
    **dict.fromkeys((413, 431), Outcome.TOO_LARGE),
    429: Outcome.THROTTLED,
}


@pytest.mark.parametrize(("status", "outcome"), STATUSES.items())
def test_a_status_has_a_class(status: int, outcome: Outcome):
    ended = classify(reply(status, b"why"))
    assert ended.kind is outcome
    assert ended.error_type == ("" if outcome is Outcome.SUCCEEDED else f"Http.{status}")


@given(st.integers(200, 599), st.binary(max_size=200), st.text(max_size=20))
def test_any_reply_has_a_class_and_can_be_stored(status: int, body: bytes, text: str):
    ended = classify(reply(status, body, retry_after=text, x_request_id=text, date=text))
    assert (ended.kind is Outcome.SUCCEEDED) == (status < 300)
    assert "\0" not in ended.message + ended.request_id


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("3", "", 3.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), format_datetime(NOW), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), format_datetime(NOW), 0.0),
        (format_datetime(NOW, usegmt=True), "", None),
        ("soon", format_datetime(NOW), None),
        ("-1", format_datetime(NOW), None),
        ("", "", None),
    ],
)
def test_the_wait_is_read_from_the_response(said: str, date: str, seconds: float | None):
    assert classify(reply(429, retry_after=said, date=date)).retry_after_s == seconds


def test_a_temporarily_busy_server_counts_as_throttling():
    ended = classify(reply(503, retry_after="2"))
    assert (ended.kind, ended.retry_after_s) == (Outcome.THROTTLED, 2.0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"plain words", "plain words"),
        (json.dumps({"title": "No", "detail": "no such user"}).encode(), "no such user"),
        (b'{"error": "broken"}', "broken"),
        (b"\xff\x00", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_the_text_of_an_error_is_read_from_the_response(body: bytes, message: str):
    assert classify(reply(500, body)).message == message


@pytest.mark.parametrize(("status", "cause"), [(500, "unhandled"), (422, "handled"), (502, "")])
def test_a_failure_has_a_cause(status: int, cause: str):
    assert classify(reply(status)).cause == cause


def test_a_redirect_is_named_and_not_followed():
    said = classify(reply(301, location="https://else.example/?state=token#more")).message
    assert said == "redirected to https://else.example/; redirects are not followed"


def test_the_request_id_is_the_servers():
    assert classify(reply(200, x_cloud_trace_context="t", x_request_id="r")).request_id == "r"
    assert classify(reply(500, traceparent="00-1")).request_id == "00-1"


def test_no_answer():
    assert classify(NoReply(7, sent=True, error="reset")) == Ending(
        Outcome.UNKNOWN, "Call.NoAnswer", "reset"
    )
    assert classify(NoReply(7, sent=False, error="refused")).kind is Outcome.STARTING


# The connection.


def opened(params: dict[str, Any] | None = None, **fields: Any) -> Access:
    given = {"conn_id": "f", "conn_type": "http", "host": "f.example", **fields}
    return access(ConnectionFields(**given), HttpParams(http_conn_id="f", **(params or {})))


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://f.example/"),
        ({"schema": "https"}, "https://f.example/"),
        ({"schema": "https", "port": 8443}, "https://f.example:8443/"),
        ({"host": "https://f.example/base/"}, "https://f.example/base"),
        ({"conn_type": "https"}, "https://f.example/"),
        ({"host": "::1", "port": 8080}, "http://[::1]:8080/"),
    ],
)
def test_the_url_comes_from_the_connection(fields: dict[str, Any], url: str):
    assert opened(**fields).url == url


def test_path_and_query_are_appended():
    found = opened({"http_path": "/a b", "http_query": {"w": "2 0"}}, host="https://f.example/base")
    assert (found.url, found.path) == ("https://f.example/base/a%20b", "/base/a%20b?w=2+0")


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, ()),
        (
            {"login": "me", "password": "ü:x"},
            (("Authorization", f"Basic {base64.b64encode('me:ü:x'.encode()).decode()}"),),
        ),
        ({"extra": {"bearer": "t"}}, (("Authorization", "Bearer t"),)),
        ({"password": "t", "extra": {"auth": "bearer"}}, (("Authorization", "Bearer t"),)),
        (
            {"password": "t", "extra": {"auth": "header", "header": "X-Api-Key"}},
            (("X-Api-Key", "t"),),
        ),
        ({"login": "me", "extra": {"auth": "none"}}, ()),
        ({"extra": {"X-Tenant": "a", "timeout": 3}}, (("X-Tenant", "a"),)),
    ],
)
def test_credentials_are_sent_as_headers(
    fields: dict[str, Any], headers: tuple[tuple[str, str], ...]
):
    assert opened(**fields).headers == headers


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": ""}, "has no host"),
        ({"schema": "ftp"}, "'ftp'; give http or https"),
        ({"extra": {"auth": "digest"}}, "give one of none, basic, bearer, header, google"),
        ({"extra": {"auth": "bearer"}}, "no password that can be a header"),
        ({"password": "a\nb", "extra": {"auth": "bearer"}}, "no password that can be a header"),
        ({"password": "t", "extra": {"auth": "header"}}, "give it as header in its extra"),
        ({"extra": {"X-A": 3}}, "has 'X-A' in its extra"),
        ({"extra": {"X A": "3"}}, "has 'X A' in its extra, which is neither a setting nor"),
        ({"extra": {"content-Type": "text/x"}}, "the header 'content-Type' in its extra"),
        ({"extra": {"ce-id": "3"}}, "the header 'ce-id' in its extra"),
        ({"login": "me", "extra": {"authorization": "x"}}, "'authorization' in its extra"),
        (
            {"password": "t", "extra": {"auth": "header", "header": "Host"}},
            "no usable name of the header",
        ),
        ({"host": "http://me:pa\nb@f.example"}, "http_conn_id: the connection 'f': the URL of"),
        (
            {"host": "http://me:a\nb/c@f.example"},
            "http_conn_id: the connection 'f': it is not a URL",
        ),
        ({"extra": {"verify": ""}}, "has verify ''"),
        ({"extra": {"proxies": {"http": 3}}}, "has malformed proxies"),
        ({"extra": {"verify": 3}}, "has verify 3"),
        ({"extra": {"proxies": 3}}, "has malformed proxies"),
    ],
)
def test_a_bad_connection_is_refused_with_its_reason(fields: dict[str, Any], says: str):
    with pytest.raises(ConfigError) as caught:
        opened(**fields)
    assert says in str(caught.value)
    assert "a\nb" not in str(caught.value)


def test_a_header_is_sent_once():
    extra = {"x-tenant": "a", "Authorization": "Bearer t"}
    found = opened({"http_headers": {"X-Tenant": "b"}}, extra=extra)
    assert found.headers == (("Authorization", "Bearer t"), ("X-Tenant", "b"))
    signed = {"password": "t", "extra": {"auth": "header", "header": "X-Api-Key"}}
    with pytest.raises(ConfigError, match="http_headers: 'x-api-key' is the header with the"):
        opened({"http_headers": {"x-API-key": "b"}}, **signed)


def test_certificates_and_proxy_come_from_the_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    usual = opened(schema="https")
    assert (usual.verify, usual.proxy_url) == (True, "http://proxy.example:1")
    assert opened(schema="https", host="inside.example").proxy_url is None
    own = opened(schema="https", extra={"verify": "/ca.pem", "proxies": {"https": "http://own:2"}})
    assert (own.verify, own.proxy_url) == ("/ca.pem", "http://own:2")
    assert opened(extra={"verify": "False"}).verify is False
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/bundle.pem")
    assert opened().verify == "/bundle.pem"


def test_an_idempotency_key_depends_on_job_and_items():
    one, other = bytes(16), bytes(range(16))
    calls = (one, other, one + other, other + one)
    keys = [idempotency_key(job, of) for job in ("j", "j → f") for of in calls]
    assert len(set(keys)) == 2 * 4
    assert all(UUID(key).version == 4 for key in keys)
    assert idempotency_key("j", one + other) == keys[2]


def test_missing_google_credentials_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="auth 'google', but no identity"):
        opened(schema="https", extra={"auth": "google"})


class Google:
    """Google's token endpoint; its tokens are unsigned and expire at once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def answer(self, request: Request) -> bytes:
        (assertion,) = parse_qs(request.body.decode())["assertion"]
        self.asked.append(json.loads(_unpadded(assertion.split(".")[1])))
        claims = json.dumps({"exp": int(time.time()), "n": len(self.tokens)}).encode()
        parts = (b'{"alg":"none"}', claims, b"")
        self.tokens.append(".".join(base64.urlsafe_b64encode(part).decode() for part in parts))
        return http_answer(json.dumps({"id_token": self.tokens[-1]}).encode())


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    made = Google()
    key = rsa.generate_private_key(65_537, 2_048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with RawServer(made.answer) as server:
        account = tmp_path / "account.json"
        account.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": "backfill@project.example",
                    "private_key": key.decode(),
                    "token_uri": server.url,
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        yield made


def test_the_token_of_a_service_account_is_sent_and_renewed(google):
    found = opened(schema="https", extra={"auth": "google", "audience": "https://aud"})
    request = HttpRequest("POST", "/", HttpHeaders(), None)
    assert found.sign is not None
    found.sign(request, b"")
    assert request.headers.get("Authorization") == f"Bearer {google.tokens[0]}"
    found.sign(request, b"")
    assert len(google.tokens) == 2, "the token had expired"
    assert request.headers.get("Authorization") == f"Bearer {google.tokens[1]}"
    assert {asked["target_audience"] for asked in google.asked} == {"https://aud"}


def test_a_success_with_a_response_too_long_to_read_is_done():
    ended = classify(reply(200)._replace(cut=True))
    assert (ended.kind, ended.error_type, ended.cause, ended.done) == (
        Outcome.FAILED, "Answer.TooLong", "answer_lost", True,
    )  # fmt: skip


def test_a_failure_with_a_response_too_long_to_read_is_a_failure():
    assert classify(reply(500)._replace(cut=True)).cause == "unhandled"
