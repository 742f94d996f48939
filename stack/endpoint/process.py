"""The scripted endpoint as a separate process, for tests and benchmarks."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import httpx

from stack.endpoint.counts import Call, Counted, Stats
from stack.endpoint.script import Script, render_script
from stack.endpoint.server import OBSERVATION
from stack.settings import REPOSITORY, StackError

_REQUEST_S = 60.0


class EndpointError(StackError):
    """The endpoint did not start, or refused a request that observes or controls it."""


class ScriptedEndpoint:
    """A running endpoint."""

    def __init__(self, url: str, process_id: int) -> None:
        self.url = url
        """Where it answers: ``http://127.0.0.1:<port>``, without a slash at the end."""
        self.process_id = process_id

    def stats(self) -> Stats:
        """Return the numbers since the last reset."""
        return Stats(**self._ask("GET", "stats"))

    def items(self, *, above: int = 0, of: Counted = "executed") -> dict[str, int]:
        """Return how often each item arrived.

        :param above: leave out items that arrived this often or less often
        :param of: count all received calls, or only those that were executed
        """
        items: dict[str, int] = self._ask("GET", f"items?above={above}&of={of}")
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
        answer = httpx.request(
            method,
            f"{self.url}{OBSERVATION}{name}",
            content=body,
            timeout=_REQUEST_S,
            verify=False,  # noqa: S501  it is our own process
            trust_env=False,
        )
        if answer.is_error:
            raise EndpointError(answer.json()["error"])
        return answer.json()


@contextmanager
def scripted_endpoint(
    script: Script | None = None, *, certificate: Path | None = None
) -> Iterator[ScriptedEndpoint]:
    """Run an endpoint in a separate process, and end it.

    The process ends with the block. If this process dies without leaving the block, the endpoint
    ends when the pipe to its standard input closes.

    :param certificate: a PEM file with its key that names 127.0.0.1, for TLS
    :raises EndpointError: it does not start
    """
    command = [sys.executable, "-m", "stack.endpoint"]
    if certificate is not None:
        command += ["--certificate", str(certificate.resolve())]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - our own module and checked arguments
            command,
            bufsize=0,  # closing the pipe must not fail, even if nobody reads it
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            with suppress(BrokenPipeError):
                stdin.write(render_script(script or Script()).encode() + b"\n")
            url = stdout.readline().decode().strip()
            if not url:
                process.wait()
                errors.seek(0)
                text = errors.read().decode("utf-8", "replace").strip()
                raise EndpointError(f"the endpoint did not start: {text}")
            yield ScriptedEndpoint(url, process.pid)
        finally:
            process.kill()
