"""The scripted endpoint as a process of its own, for tests and benchmarks."""

import json
import selectors
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlencode, urlsplit

from stack.endpoint.counts import Call, Delivery, Stats
from stack.endpoint.script import Script, render_script
from stack.endpoint.server import OBSERVATION

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_REQUEST_SECONDS = 60.0
_BAD_REQUEST = 400


class EndpointError(Exception):
    """The endpoint did not start, or refused a request that observes or steers it."""


class ScriptedEndpoint:
    """A running endpoint."""

    def __init__(self, url: str, process_id: int, certificate: Path | None) -> None:
        self.url = url
        """Where it answers: ``http://127.0.0.1:<port>``, without a slash at the end."""
        self.process_id = process_id
        """The id of its process."""
        self._certificate = certificate

    def stats(self) -> Stats:
        """Return the numbers since the last reset."""
        return Stats(**cast("dict[str, Any]", self._ask("GET", "stats")))

    def items(self, *, above: int = 0, of: Delivery = "executed") -> dict[str, int]:
        """Return how often each item arrived.

        :param above: leave out the items that arrived so often or less often
        :param of: in calls that were executed, or in all that were received
        """
        query = urlencode({"above": above, "of": of})
        return cast("dict[str, int]", self._ask("GET", f"items?{query}"))

    def calls(self) -> list[Call]:
        """Return the records of the last calls, if the script asks for records."""
        records = cast("list[dict[str, Any]]", self._ask("GET", "calls"))
        return [Call(**record) for record in records]

    def reset(self) -> None:
        """Count from 0; the counters of the script's rules go on."""
        self._ask("POST", "reset")

    def script(self, script: Script) -> None:
        """Follow another script from now on; what has been counted stays.

        :raises EndpointError: if the endpoint refuses it
        """
        self._ask("POST", "script", render_script(script))

    def _ask(self, method: str, name: str, body: str | None = None) -> object:
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        connection: HTTPConnection
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=self._certificate)
            connection = HTTPSConnection(host, port, timeout=_REQUEST_SECONDS, context=context)
        else:
            connection = HTTPConnection(host, port, timeout=_REQUEST_SECONDS)
        try:
            payload = None if body is None else body.encode()
            connection.request(method, OBSERVATION + name, payload)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        members: object = json.loads(text)
        if answer.status >= _BAD_REQUEST:
            raise EndpointError(cast("dict[str, str]", members)["error"])
        return members


@contextmanager
def scripted_endpoint(
    script: Script | None = None,
    *,
    port: int = 0,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> Iterator[ScriptedEndpoint]:
    """Run an endpoint in a process of its own, and end it.

    The process ends with the block; should this process die without leaving the block, it ends
    when the pipe to its standard input closes.

    :param port: its TCP port; 0 for a free one
    :param certificate: a PEM file that names 127.0.0.1, for TLS
    :param private_key: the PEM file of its key, if that is not in the same file
    :raises EndpointError: if it does not start
    """
    command = [sys.executable, "-m", "stack.endpoint", "--script", "-", "--port", str(port)]
    if certificate is not None:
        command += ["--certificate", str(certificate.resolve())]
    if private_key is not None:
        command += ["--private-key", str(private_key.resolve())]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 - our own module and checked arguments
            command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            url = _start(process, script or Script(), complaints)
            yield ScriptedEndpoint(url, process.pid, certificate)
        finally:
            _stop(process)


def _start(process: subprocess.Popen[bytes], script: Script, complaints: IO[bytes]) -> str:
    """Send the script, wait for the URL and return it."""
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    with suppress(BrokenPipeError):
        stdin.write(render_script(script).encode() + b"\n")
        stdin.flush()
    deadline = time.monotonic() + _START_SECONDS
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        if selector.select(deadline - time.monotonic()):
            line = stdout.readline()
    url = line.decode().strip()
    if not url.startswith("http"):
        process.kill()
        process.wait()
        complaints.seek(0)
        text = complaints.read().decode("utf-8", "replace").strip()
        message = f"the endpoint did not start: {text or 'it printed no URL'}"
        raise EndpointError(message)
    return url


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, by force if it does not end by itself."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
