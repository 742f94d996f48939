"""The endpoint as a process: how it begins, is told and ends."""

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
)
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
    render_script,
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
    list_all,
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


def test_unknown_observations_say_what_there_is(endpoint: ScriptedEndpoint) -> None:
    with pytest.raises(EndpointError, match="GET stats, items, calls; POST reset, script"):
        endpoint._ask("GET", "state")  # noqa: SLF001 - what a typing mistake would do
    with pytest.raises(EndpointError, match="above=<number>"):
        endpoint._ask("GET", "items?above=x")  # noqa: SLF001 - the same


def test_the_endpoint_ends_with_its_block_even_with_calls_in_flight() -> None:
    with scripted_endpoint(always(Reply(wire=Wire.HANG))) as endpoint:
        sock = raw_socket(endpoint)
        sock.sendall(raw_request(b"{}"))
        assert eventually(lambda: endpoint.stats().in_flight == 1)
    sock.close()
    assert not Path(f"/proc/{endpoint.process_id}").exists()
    with pytest.raises(ConnectionRefusedError):
        raw_socket(endpoint)


_PARENT = """
import time
from stack.endpoint import scripted_endpoint

with scripted_endpoint() as endpoint:
    print(endpoint.process_id, flush=True)
    time.sleep(600)
"""


def test_the_endpoint_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(  # noqa: S603 - fixed arguments
        [
            sys.executable,
            "-c",
            _PARENT,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
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
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Whoever adopted it may not have collected it.
    return state != "Z"


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "stack.endpoint", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_prints_its_url_and_ends_at_sigterm() -> None:
    flags = ["--objects", "1500", "--bucket", "big", "--function", "fn", "--latency", "0.001"]
    with command("--port", "0", *flags, "--answer", '"yes"', "--no-items") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        running = ScriptedEndpoint(url, process.pid, None)
        answer = client("lambda", running).invoke(FunctionName="fn")
        assert answer["Payload"].read() == b'"yes"'
        contents, _ = list_all(client("s3", running), Bucket="big")
        assert len(contents) == 1500
        process.terminate()
        assert process.wait(GRACE_SECONDS) == 0
        assert process.stdout.read() == ""


def test_the_command_takes_a_script_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(render_script(Script(latency=QUICK, answer='"from a file"')))
    with command("--script", str(path)) as process:
        assert process.stdout is not None
        running = ScriptedEndpoint(process.stdout.readline().strip(), process.pid, None)
        answer = client("lambda", running).invoke(FunctionName="scripted")
        assert answer["Payload"].read() == b'"from a file"'


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--objects", "-1"], ["count", "-1"]),
        (["--pattern", "a{i:09d}"], ["--pattern", "--objects"]),
        (["--script", "nowhere.json"], ["nowhere.json"]),
        (["--script", "-", "--latency", "1"], ["--latency", "script"]),
        (["--bucket", "B"], ["'B'"]),
        (["--port", "99999999"], ["port"]),
        (["--certificate", "nowhere.pem"], ["No such file"]),
    ],
)
def test_a_bad_command_line_is_refused(arguments: list[str], parts: list[str]) -> None:
    with command(*arguments) as process:
        output, complaints = process.communicate(timeout=GRACE_SECONDS)
    assert process.returncode == 2
    assert output == ""
    for part in parts:
        assert part in complaints


def test_a_taken_port_is_told(endpoint: ScriptedEndpoint) -> None:
    port = urlsplit(endpoint.url).port or 0
    with (
        pytest.raises(EndpointError, match="address already in use"),
        scripted_endpoint(port=port),
    ):
        pass


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


def test_all_of_it_over_tls(certificate: Path) -> None:
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
    listening = []
    for name in ("tcp", "tcp6"):
        table = Path(f"/proc/{os.getpid()}/net/{name}").read_text().splitlines()[1:]
        for line in table:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                listening.append(local.rpartition(":")[0])
    assert listening == ["0100007F"]
