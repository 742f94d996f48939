"""The scripted endpoint as a separate process, for tests and benchmarks."""

import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlencode, urlsplit

from stack.endpoint.counts import Call, Delivery, Stats
from stack.endpoint.script import Script, render_script
from stack.endpoint.server import OBSERVATION

_ROOT = Path(__file__).resolve().parents[2]
_REQUEST_SECONDS = 60.0


class EndpointError(Exception):
    """The endpoint did not start, or refused a request that observes or controls it."""


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
        return Stats(**self._ask("GET", "stats"))

    def items(self, *, above: int = 0, of: Delivery = "executed") -> dict[str, int]:
        """Return how often each item arrived.

        :param above: leave out items that arrived this often or less often
        :param of: in calls that were executed, or in all that were received
        """
        query = urlencode({"above": above, "of": of})
        items: dict[str, int] = self._ask("GET", f"items?{query}")
        return items

    def calls(self) -> list[Call]:
        """Return the records of the last calls, if the script asks for records."""
        return [Call(**record) for record in self._ask("GET", "calls")]

    def reset(self) -> None:
        """Count from 0; the counters of the script's rules continue."""
        self._ask("POST", "reset")

    def script(self, script: Script) -> None:
        """Follow another script from now on; existing counts stay.

        :raises EndpointError: the endpoint refuses it
        """
        self._ask("POST", "script", render_script(script))

    def _ask(self, method: str, name: str, body: str | None = None) -> Any:
        address = urlsplit(self.url)
        connection: HTTPConnection
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=self._certificate)
            connection = HTTPSConnection(address.netloc, timeout=_REQUEST_SECONDS, context=context)
        else:
            connection = HTTPConnection(address.netloc, timeout=_REQUEST_SECONDS)
        with closing(connection):
            connection.request(method, OBSERVATION + name, body and body.encode())
            answer = connection.getresponse()
            members = json.loads(answer.read())
        if answer.status != HTTPStatus.OK:
            raise EndpointError(members["error"])
        return members


@contextmanager
def scripted_endpoint(
    script: Script | None = None, *, certificate: Path | None = None
) -> Iterator[ScriptedEndpoint]:
    """Run an endpoint in a separate process, and end it.

    The process ends with the block. If this process dies without leaving the block, it ends when
    the pipe to its standard input closes.

    :param certificate: a PEM file with its key that names 127.0.0.1, for TLS
    :raises EndpointError: it does not start
    """
    command = [sys.executable, "-m", "stack.endpoint"]
    if certificate is not None:
        command += ["--certificate", str(certificate.resolve())]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - our own module and checked arguments
            command,
            bufsize=0,  # closing the pipe must not fail, even if nobody reads it
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        ) as process,
    ):
        try:
            url = _start(process, script or Script())
            if not url:
                process.wait()
                complaints.seek(0)
                text = complaints.read().decode("utf-8", "replace").strip()
                raise EndpointError(f"the endpoint did not start: {text}")
            yield ScriptedEndpoint(url, process.pid, certificate)
        finally:
            process.kill()


def _start(process: subprocess.Popen[bytes], script: Script) -> str:
    """Send the script, wait for the URL and return it; empty if the process has ended."""
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    with suppress(BrokenPipeError):
        stdin.write(render_script(script).encode() + b"\n")
    return stdout.readline().decode().strip()
