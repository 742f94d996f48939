"""Clients of the scripted endpoint, and their requests."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from stack.endpoint import Reply, Rule, Script, ScriptedEndpoint

ROOT = Path(__file__).parents[3]
ONE_CALL = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    read_timeout=60,
    connect_timeout=60,
)
IMPATIENT = ONE_CALL.merge(Config(read_timeout=0.5))
QUICK = 0.001
GRACE_SECONDS = 60.0

ODD_KEYS = [
    "a b",
    " leading and trailing ",
    "a+b",
    "a%2Bb",
    "a%20b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x01b",
    "\U0001f600",
    "\u00e9",
    "e\u0301",
    "a/../b",
    "//",
    "q\"'<>&",
    "שלום",
    "x" * 1024,
    "é" * 512,
    "~*!()'-._",
]


def client(kind: str, endpoint: ScriptedEndpoint, config: Config = ONE_CALL, **more: Any) -> Any:
    return boto3.client(
        kind,  # type: ignore[call-overload]
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - no secret
        config=config,
        **more,
    )


Follow = Callable[[Script], ScriptedEndpoint]


def s3_event(*keys: str) -> bytes:
    records = [{"s3": {"object": {"key": quote_plus(key, safe="/")}}} for key in keys]
    return json.dumps({"Records": records}).encode()


def always(reply: Reply, **when: Any) -> Script:
    return Script(latency=QUICK, rules=(Rule(reply=reply, **when),))


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether it becomes true, in a time that only a fault exceeds."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def raw_socket(endpoint: ScriptedEndpoint) -> socket.socket:
    address = urlsplit(endpoint.url)
    assert address.hostname == "127.0.0.1"
    return socket.create_connection((address.hostname, address.port or 0), GRACE_SECONDS)


def raw_request(body: bytes, *, kind: str = "RequestResponse", path: str = "scripted") -> bytes:
    return (
        f"POST /2015-03-31/functions/{path}/invocations HTTP/1.1\r\nHost: x\r\n"
        f"X-AMZ-Invocation-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def read_all(sock: socket.socket) -> bytes:
    received = b""
    while True:
        data = sock.recv(65_536)
        if not data:
            return received
        received += data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = sock.recv(65_536)
        assert data, received
        received += data
    return received


def list_all(buckets: S3Client, **query: Any) -> list[Any]:
    pages = list(buckets.get_paginator("list_objects_v2").paginate(**query))
    contents = [one for page in pages for one in page.get("Contents", [])]
    assert sum(page["KeyCount"] for page in pages) == len(contents)
    return contents
