"""From an Airflow connection to the first byte: which keys sign a call, and its network route."""

import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from retrofill.config import params_for
from retrofill.connections import wiring
from retrofill.functions.client import Client, NoReply, Payload, Reply
from retrofill.functions.transport import client as client_module
from retrofill.model.errors import ConfigError
from retrofill.model.runs import Run

from tests.integration.certificates import Certificates, make_certificates
from tests.integration.opened import DELIVERY, FUNCTION
from tests.integration.raw_server import Proxy, RawServer, Request, http_answer

CONFIG = params_for("s3").config(
    {"bucket": "bucket", "prefix": "k", "function": "f", "event": "s3"}
)
RUN = Run(
    1, 1, "job", "open", {}, DELIVERY, None, None,
    FUNCTION, None, datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
KEYS = Credentials("AKIDCONNECTION", "the connection's secret")
OWN = {"login": KEYS.access_key, "password": KEYS.secret_key}
NOWHERE = "http://127.0.0.1:1"
PATIENCE_S = 60

Connect = Callable[..., Client]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove this machine's settings for AWS."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A function that defines the connection and opens the data plane like an invoke task."""
    with ExitStack() as stack:

        def opened(*, extra: dict[str, object], **fields: str) -> Client:
            define(monkeypatch, extra, **fields)
            return stack.enter_context(closing(wiring().client_of(CONFIG, RUN)))

        yield opened


def define(monkeypatch: pytest.MonkeyPatch, extra: dict[str, object], **fields: str) -> None:
    extra = {"region_name": "us-east-1", **extra}
    connection = {"conn_type": "aws", "extra": extra, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))


@pytest.fixture
def function() -> Iterator[RawServer]:
    """A function's endpoint that records its requests."""
    with RawServer(lambda _: http_answer(b'"called"')) as server:
        yield server


def call(client: Client) -> Reply | NoReply:
    client.send(0, Payload(b'{"items":["a"]}'))
    return client.completions.get(timeout=PATIENCE_S)


def called(client: Client) -> bool:
    reply = call(client)
    return isinstance(reply, Reply) and reply.body == b'"called"'


def assert_signed_by(request: Request, keys: Credentials, service: str = "lambda") -> None:
    """Check a signature as AWS does: by computing it again with the secret key."""
    credential, signed, signature = request.headers["authorization"].split(", ")
    assert f"Credential={keys.access_key}/" in credential
    assert request.headers.get("x-amz-security-token") == keys.token
    names = signed.removeprefix("SignedHeaders=").split(";")
    method, target, _ = request.line.split(" ")
    theirs = AWSRequest(
        method,
        f"http://{request.headers['host']}{target}",
        {name: request.headers[name] for name in names},
        request.body,
    )
    theirs.context["timestamp"] = request.headers["x-amz-date"]
    auth = SigV4Auth(keys, service, "us-east-1")
    text = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    assert signature == f"Signature={auth.signature(text, theirs)}"


# Credentials.


def test_the_keys_of_the_connection_sign(connect, function, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert called(connect(extra={"endpoint_url": function.url}, **OWN))
    assert_signed_by(function.requests[0], KEYS)


def test_session_keys_sign(connect, function):
    extra = {"endpoint_url": function.url, "aws_session_token": "a/token+=="}
    assert called(connect(extra=extra, **OWN))
    keys = Credentials(KEYS.access_key, KEYS.secret_key, "a/token+==")
    assert_signed_by(function.requests[0], keys)


def test_without_keys_in_the_connection_the_environments_sign(connect, function, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the environment")
    assert called(connect(extra={"endpoint_url": function.url}))
    keys = Credentials("AKIDENVIRONMENT", "of the environment")
    assert_signed_by(function.requests[0], keys)


def test_the_keys_of_a_profile_sign(connect, function, tmp_path):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = default\n"
        "[backfill]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = of the profile\n"
    )
    assert called(connect(extra={"endpoint_url": function.url, "profile_name": "backfill"}))
    assert_signed_by(function.requests[0], Credentials("AKIDPROFILE", "of the profile"))


def test_a_connection_without_credentials_is_refused(connect):
    with pytest.raises(ConfigError, match=r"^aws_conn_id: it has no AWS credentials"):
        connect(extra={"endpoint_url": NOWHERE})


class Issuer:
    """Issues different session keys each time: the first for an hour, the others for longer."""

    def __init__(self) -> None:
        self.issued: list[Credentials] = []
        self.requests: list[Request] = []

    def issue(self, request: Request) -> tuple[Credentials, str]:
        """Return new keys, and when they expire."""
        self.requests.append(request)
        number = len(self.issued) + 1
        keys = Credentials(f"ASIDROLE{number}", f"secret {number}", f"token-{number}")
        self.issued.append(keys)
        lasts = timedelta(hours=1 if number <= 2 else 10)
        return keys, (datetime.now(UTC) + lasts).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(issuer: Issuer, request: Request) -> bytes:
    keys, expiration = issuer.issue(request)
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "Token": keys.token,
            "Expiration": expiration,
        }
    ).encode()


def let_pass(client: Client, time: timedelta) -> None:
    """Move the clock of the client's credentials on."""
    credentials = client._sign.__self__._credentials  # noqa: SLF001
    credentials._time_fetcher = lambda: datetime.now(UTC) + time  # type: ignore[attr-defined]  # noqa: SLF001


def assert_renewed_in_mid_run(client: Client, function: RawServer, issuer: Issuer) -> None:
    assert called(client)
    before = len(issuer.issued)
    assert called(client)
    assert len(issuer.issued) == before, "valid keys are not renewed"
    let_pass(client, timedelta(minutes=58))
    assert called(client)
    assert len(issuer.issued) == before + 1
    assert called(client)
    assert len(issuer.issued) == before + 1
    old, new = issuer.issued[before - 1], issuer.issued[before]
    for request, keys in zip(function.requests, (old, old, new, new), strict=True):
        assert_signed_by(request, keys)


ROLE = "arn:aws:iam::123456789012:role/backfill"


def assume_role(issuer: Issuer, request: Request) -> bytes:
    """Answer like STS.

    Format: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
    """
    keys, expiration = issuer.issue(request)
    return http_answer(
        f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/backfill/Airflow</Arn>
      <AssumedRoleId>AROAEXAMPLE:Airflow</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{keys.access_key}</AccessKeyId>
      <SecretAccessKey>{keys.secret_key}</SecretAccessKey>
      <SessionToken>{keys.token}</SessionToken>
      <Expiration>{expiration}</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</AssumeRoleResponse>""".encode(),
        "Content-Type: text/xml",
    )


def test_an_assumed_role_signs_and_is_renewed_during_a_run(connect, function):
    issuer = Issuer()
    with RawServer(lambda request: assume_role(issuer, request)) as sts:
        client = connect(
            extra={
                "endpoint_url": function.url,
                "service_config": {"sts": {"endpoint_url": sts.url}},
                "role_arn": ROLE,
                "assume_role_kwargs": {"ExternalId": "outside"},
            },
            **OWN,
        )
        assert_renewed_in_mid_run(client, function, issuer)
    for request in issuer.requests:
        assert_signed_by(request, KEYS, "sts")
        asked = parse_qs(request.body.decode())
        assert asked["Action"] == ["AssumeRole"]
        assert asked["RoleArn"] == [ROLE]
        assert asked["ExternalId"] == ["outside"]


def test_a_container_role_signs_and_is_renewed_during_a_run(connect, function, monkeypatch):
    issuer = Issuer()
    with RawServer(lambda request: http_answer(as_json(issuer, request))) as agent:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.url}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the pod")
        client = connect(extra={"endpoint_url": function.url})
        assert_renewed_in_mid_run(client, function, issuer)
    assert {request.line for request in issuer.requests} == {"GET /v1/credentials HTTP/1.1"}
    assert {request.headers["authorization"] for request in issuer.requests} == {"of the pod"}


def metadata_service(issuer: Issuer, request: Request) -> bytes:
    """Answer like the metadata service of an EC2 instance that speaks only version 2.

    Format: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html.
    """
    method, path, _ = request.line.split(" ")
    if method == "PUT" and path == "/latest/api/token":
        return http_answer(b"a session of the metadata service")
    if request.headers.get("x-aws-ec2-metadata-token") != "a session of the metadata service":
        return http_answer(b"", status="401 Unauthorized")
    roles = "/latest/meta-data/iam/security-credentials/"
    if path == roles:
        return http_answer(b"backfill")
    if path == f"{roles}backfill":
        return http_answer(as_json(issuer, request))
    return http_answer(b"", status="404 Not Found")


def test_an_instance_role_signs_and_is_renewed_during_a_run(connect, function, monkeypatch):
    issuer = Issuer()
    with RawServer(lambda request: metadata_service(issuer, request)) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        client = connect(extra={"endpoint_url": function.url})
        assert_renewed_in_mid_run(client, function, issuer)


# The endpoint.


@pytest.mark.parametrize(("extra", "environment"), [
    ({"endpoint_url": "HERE"}, {}),
    ({"endpoint_url": "HERE"}, {"AWS_ENDPOINT_URL": NOWHERE, "AWS_ENDPOINT_URL_LAMBDA": NOWHERE}),
    ({"endpoint_url": NOWHERE, "service_config": {"lambda": {"endpoint_url": "HERE"}}}, {}),
    ({}, {"AWS_ENDPOINT_URL": "HERE"}),
    ({}, {"AWS_ENDPOINT_URL": NOWHERE, "AWS_ENDPOINT_URL_LAMBDA": "HERE"}),
    ({}, {"AWS_ENDPOINT_URL_LAMBDA": "HERE", "AWS_ENDPOINT_URL_S3": NOWHERE}),
])  # fmt: skip
def test_the_endpoint_comes_from_the_connection_or_the_environment(
    extra, environment, connect, function, monkeypatch
):
    for name, url in environment.items():
        monkeypatch.setenv(name, url.replace("HERE", function.url))
    here = json.loads(json.dumps(extra).replace("HERE", function.url))
    assert called(connect(extra=here, **OWN))
    assert len(function.requests) == 1


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secured(certificates: Certificates) -> Iterator[RawServer]:
    """A function's endpoint whose certificate is from an authority unknown to the system."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    with RawServer(lambda _: http_answer(b'"called"'), context) as server:
        yield server


def test_tls_uses_the_authority_of_the_connection(connect, secured, certificates):
    extra = {"endpoint_url": secured.url, "verify": str(certificates.authority)}
    assert called(connect(extra=extra, **OWN))


def test_tls_uses_the_authority_of_the_environment(connect, secured, certificates, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    assert called(connect(extra={"endpoint_url": secured.url}, **OWN))


def test_tls_is_not_verified_if_the_connection_says_so(connect, secured):
    assert called(connect(extra={"endpoint_url": secured.url, "verify": False}, **OWN))


@pytest.mark.parametrize("verify", [{}, {"verify": True}])
def test_a_server_with_an_unknown_authority_gets_no_call(verify, connect, secured, monkeypatch):
    # awscrt reports a failed handshake only after 10 to 30 seconds.
    monkeypatch.setattr(client_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(client_module, "CLOSE_S", 0.0)
    reply = call(connect(extra={"endpoint_url": secured.url, **verify}, **OWN))
    assert isinstance(reply, NoReply)
    assert not reply.sent
    assert secured.requests == []


def test_an_unreadable_authority_is_named(connect, tmp_path):
    path = tmp_path / "authority.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match=f"verify: {path}"):
        connect(extra={"endpoint_url": "https://127.0.0.1:1", "verify": str(path)}, **OWN)


# Proxies.


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


def proxies(proxy: Proxy) -> dict[str, object]:
    return {"config_kwargs": {"proxies": {"http": proxy.url, "https": proxy.url}}}


def test_https_uses_the_proxy_of_the_environment(
    connect, secured, certificates, proxy, monkeypatch
):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    extra = {"endpoint_url": secured.url, "verify": str(certificates.authority)}
    client = connect(extra=extra, **OWN)
    assert called(client)
    client.close()
    assert [one.line for one in proxy.requests] == [f"CONNECT 127.0.0.1:{secured.port} HTTP/1.1"]


def test_https_uses_the_proxy_of_the_connection(connect, secured, certificates, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    extra = {"endpoint_url": secured.url, "verify": str(certificates.authority), **proxies(proxy)}
    client = connect(extra=extra, **OWN)
    assert called(client)
    client.close()
    assert [one.line for one in proxy.requests] == [f"CONNECT 127.0.0.1:{secured.port} HTTP/1.1"]


def test_http_uses_the_proxy_of_the_environment(connect, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    reply = call(connect(extra={"endpoint_url": "http://lambda.example:8080"}, **OWN))
    assert isinstance(reply, Reply)
    assert reply.body == b'"forwarded"'
    assert proxy.requests[0].line.startswith(
        "POST http://lambda.example:8080/2015-03-31/functions/"
    )


def test_an_endpoint_in_no_proxy_is_called_directly(connect, function, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert called(connect(extra={"endpoint_url": function.url}, **OWN))


def test_s3_uses_the_proxy_of_the_connection(monkeypatch):
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    with RawServer(lambda _: http_answer(listing)) as proxy:
        extra = {
            "endpoint_url": "http://s3.example",
            "config_kwargs": {"proxies": {"http": proxy.url}},
        }
        define(monkeypatch, extra, **OWN)
        wiring().survey_of(CONFIG, RUN).check()
    assert proxy.requests[0].line.startswith("GET http://s3.example/bucket?")
