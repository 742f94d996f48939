"""The server: one event loop, the two AWS APIs, and the requests that observe and control it."""

import asyncio
import gc
import json
import re
import ssl
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop
from pydantic import ValidationError

from stack.endpoint.connection import Connection, Request, response
from stack.endpoint.counts import Counted, Counts
from stack.endpoint.lambda_api import Handler, LambdaApi
from stack.endpoint.rulebook import Rulebook
from stack.endpoint.s3_api import S3Api
from stack.endpoint.script import Script, parse_script

HOST = "127.0.0.1"
OBSERVATION = "/_endpoint/"
"""The prefix of paths that do not belong to an AWS API."""

_LAMBDA_PATH = re.compile(r"/\d{4}-\d\d-\d\d/")
_STDIN = 0
_GARBAGE_THRESHOLD = 50_000
_BACKLOG = 1_024


class ScriptedService:
    """Answers the requests of all connections."""

    def __init__(self, script: Script, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts = Counts()
        self.load(script)

    def load(self, script: Script) -> None:
        """Follow another script from now on. Counts stay; those of its rules start again."""
        rulebook = Rulebook(script)
        self._lambda = LambdaApi(script, rulebook, self._counts, self._loop)
        self._s3 = S3Api(script, rulebook, self._counts, self._loop)
        self._routes: dict[tuple[bytes, bytes], Handler] = {}

    def opened(self) -> None:
        """Count a new connection."""
        self._counts.stats.connections += 1

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer a request."""
        line = request.method, request.target
        handler = self._routes.get(line)
        if handler is not None:
            handler(connection, request)
            return
        method, parts = request.method.decode(), urlsplit(request.target.decode("latin-1"))
        if parts.path.startswith(OBSERVATION):
            name = parts.path.removeprefix(OBSERVATION)
            self._observe(connection, method, name, parts.query, request.body)
        elif _LAMBDA_PATH.match(parts.path):
            handler = self._lambda.route(method, parts)
            self._routes[line] = handler
            handler(connection, request)
        else:
            self._s3.answer(connection, method, parts)

    def _observe(
        self, connection: Connection, method: str, name: str, query: str, body: bytes
    ) -> None:
        """Answer a request that does not belong to an AWS API."""
        counts = self._counts
        status, answer = HTTPStatus.OK, cast("object", {})
        match method, name:
            case "GET", "stats":
                answer = asdict(counts.stats)
            case "GET", "items":
                asked = dict(parse_qsl(query))
                answer = counts.items(cast("Counted", asked["of"]), int(asked["above"]))
            case "GET", "calls":
                answer = [asdict(call) for call in counts.calls]
            case "POST", "reset":
                counts.reset()
            case "POST", "script":
                try:
                    self.load(parse_script(body))
                except ValidationError as error:
                    status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
            case _:
                paths = "GET stats, items, calls; POST reset, script"
                text = f"{method} {OBSERVATION}{name} is not known; there are {paths}"
                status, answer = HTTPStatus.NOT_FOUND, {"error": text}
        headers = {"Content-Type": "application/json"}
        connection.respond(b"".join(response(status, headers, json.dumps(answer).encode())))


async def _serve(script: Script, context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    service = ScriptedService(script, loop)
    server = await loop.create_server(
        lambda: Connection(service, loop), HOST, ssl=context, backlog=_BACKLOG
    )
    # The script has been read, so the next thing on standard input is its end.
    ended = asyncio.Event()
    loop.add_reader(_STDIN, ended.set)
    # Existing objects stay; reference counts free what a request leaves.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    scheme = "http" if context is None else "https"
    print(f"{scheme}://{HOST}:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()


def serve(script: Script, certificate: Path | None = None) -> None:
    """Serve until standard input closes.

    :param certificate: a PEM file with its key, for TLS
    :raises OSError: the file cannot be read
    """
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    uvloop.run(_serve(script, context))
