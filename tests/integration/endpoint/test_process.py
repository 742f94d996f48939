"""The endpoint as a process: how it starts, takes scripts and ends."""

import os
import signal
import ssl
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.exceptions import ConnectionClosedError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mypy_boto3_lambda import LambdaClient

from stack.endpoint import (
    EndpointError,
    Reply,
    Rule,
    Script,
    ScriptedEndpoint,
    Wire,
    scripted_endpoint,
)
from tests.integration.endpoint.clients import (
    GRACE_SECONDS,
    QUICK,
    ROOT,
    Follow,
    always,
    client,
    eventually,
    raw_request,
    raw_socket,
    read_until,
    s3_event,
)


def test_a_bad_script_is_refused_and_the_old_one_stays(
    follow: Follow, functions: LambdaClient
) -> None:
    endpoint = follow(Script(latency=QUICK, answer='"old"'))
    with closing(raw_socket(endpoint)) as sock:
        body = b'{"latency": -1}'
        sock.sendall(b"POST /_endpoint/script HTTP/1.1\r\n")
        sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        received = sock.recv(65_536)
    assert received.startswith(b"HTTP/1.1 400")
    assert b"latency" in received
    assert functions.invoke(FunctionName="scripted")["Payload"].read() == b'"old"'


def test_an_unknown_observation_lists_the_known_ones(endpoint: ScriptedEndpoint) -> None:
    with pytest.raises(EndpointError, match="GET stats, items, calls; POST reset, script"):
        endpoint._ask("GET", "state")  # noqa: SLF001 - what a typing mistake would do


def test_the_endpoint_ends_with_its_block_despite_calls_in_flight() -> None:
    with scripted_endpoint(always(Reply(wire=Wire.HANG))) as endpoint:
        sock = raw_socket(endpoint)
        sock.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().in_flight == 1)
    sock.close()
    assert not psutil.pid_exists(endpoint.process_id)
    with pytest.raises(ConnectionRefusedError):
        raw_socket(endpoint)


_PARENT = """
import time
from stack.endpoint import scripted_endpoint

with scripted_endpoint() as endpoint:
    print(endpoint.process_id, flush=True)
    time.sleep(600)
"""


def test_the_endpoint_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(  # noqa: S603 - fixed arguments
        [sys.executable, "-c", _PARENT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        ended = eventually(lambda: not _is_alive(child))
        if not ended:
            os.kill(child, signal.SIGKILL)
        assert ended
    finally:
        parent.kill()
        parent.wait()


def _is_alive(process_id: int) -> bool:
    try:
        # Its new parent may not have reaped it yet.
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_endpoint_that_does_not_start_shows_the_reason() -> None:
    with (
        pytest.raises(EndpointError, match="No such file"),
        scripted_endpoint(certificate=Path("nowhere.pem")),
    ):
        pass


def test_the_command_refuses_a_bad_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack.endpoint"],
        cwd=ROOT,
        input=b'{"latency": -1}\n',
        capture_output=True,
        check=False,
        timeout=GRACE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"latency" in done.stderr


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a key and a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted endpoint")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "endpoint.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_the_endpoint_works_over_tls(certificate: Path) -> None:
    rules = (
        Rule(calls=frozenset({2}), reply=Reply(wire=Wire.RST)),
        Rule(calls=frozenset({3}), reply=Reply(wire=Wire.FIN)),
    )
    script = Script(latency=QUICK, rules=rules)
    with scripted_endpoint(script, certificate=certificate) as endpoint:
        assert endpoint.url.startswith("https://127.0.0.1:")
        functions = client("lambda", endpoint, verify=str(certificate))
        body = s3_event(*(f"k{n}" for n in range(5_000)))
        assert functions.invoke(FunctionName="scripted", Payload=body)["StatusCode"] == 200
        for _ in range(2):
            with pytest.raises(ConnectionClosedError):
                functions.invoke(FunctionName="scripted", Payload=body)
        assert functions.invoke(FunctionName="scripted", Payload=body)["StatusCode"] == 200
        assert endpoint.items(above=2) == {}
        assert len(endpoint.items(above=1)) == 5_000
        address = urlsplit(endpoint.url)
        context = ssl.create_default_context(cafile=certificate)
        with (
            closing(raw_socket(endpoint)) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as sock,
        ):
            sock.sendall(raw_request(b"{}") * 2)
            received = read_until(sock, b"null")
            while received.count(b"HTTP/1.1 200") < 2:
                received += read_until(sock, b"null")


def test_it_listens_on_the_loopback_address_only(endpoint: ScriptedEndpoint) -> None:
    port = urlsplit(endpoint.url).port
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(endpoint.process_id).net_connections()
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]
    assert listening == ["127.0.0.1"]
