"""The server: one event loop, the two AWS APIs, and the requests that observe and steer it."""

import asyncio
import gc
import json
import os
import re
import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import cast, get_args
from urllib.parse import parse_qs, urlsplit

import uvloop
from pydantic import ValidationError

from stack.endpoint.connection import Connection, Request, response
from stack.endpoint.counts import Counts, Delivery
from stack.endpoint.lambda_api import Handler, LambdaApi
from stack.endpoint.rulebook import Rulebook
from stack.endpoint.s3_api import S3Api
from stack.endpoint.script import Script, parse_script

HOST = "127.0.0.1"
"""The only address it listens on."""

OBSERVATION = "/_endpoint/"
"""Where the paths begin that are not of an AWS API."""

_LAMBDA_PATH = re.compile(r"/\d{4}-\d\d-\d\d/")
_STDIN = 0
_KEPT_ROUTES = 1_024
_GARBAGE_THRESHOLD = 50_000
_BACKLOG = 1_024


class ScriptedService:
    """Answers the requests of all connections."""

    def __init__(self, script: Script, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts = Counts()
        self.load(script)

    def load(self, script: Script) -> None:
        """Follow another script from now on; the counts stay, those of its rules begin."""
        rulebook = Rulebook(script)
        self._lambda = LambdaApi(script, rulebook, self._counts, self._loop)
        self._s3 = S3Api(script, rulebook, self._counts, self._loop)
        self._routes: dict[tuple[bytes, bytes], Handler] = {}

    def opened(self) -> None:
        """Count a new connection."""
        self._counts.connections += 1

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
            handler = self._lambda.route(method, parts.path, parts.query)
            if len(self._routes) >= _KEPT_ROUTES:
                self._routes.clear()
            self._routes[line] = handler
            handler(connection, request)
        else:
            self._s3.answer(connection, method, parts.path, parts.query)

    def _observe(
        self, connection: Connection, method: str, name: str, query: str, body: bytes
    ) -> None:
        """Answer a request that is not of an AWS API."""
        counts = self._counts
        status, answer = HTTPStatus.OK, cast("object", {})
        match method, name:
            case "GET", "stats":
                answer = counts.stats()
            case "GET", "items":
                status, answer = self._items(query)
            case "GET", "calls":
                answer = counts.records()
            case "POST", "reset":
                counts.reset()
            case "POST", "script":
                try:
                    self.load(parse_script(body))
                except ValidationError as error:
                    status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
            case _:
                paths = "GET stats, items, calls; POST reset, script"
                text = f"{method} {OBSERVATION}{name} is none of: {paths}"
                status, answer = HTTPStatus.NOT_FOUND, {"error": text}
        _answer(connection, status, answer)

    def _items(self, query: str) -> tuple[HTTPStatus, object]:
        fields = parse_qs(query)
        above = fields.pop("above", ["0"])[0]
        of = fields.pop("of", ["executed"])[0]
        if fields or not above.isdecimal() or of not in get_args(Delivery):
            text = (
                f"items?{query}: allowed are above=<number> and of={'|'.join(get_args(Delivery))}"
            )
            return HTTPStatus.BAD_REQUEST, {"error": text}
        return HTTPStatus.OK, self._counts.items(cast("Delivery", of), int(above))


def _answer(connection: Connection, status: HTTPStatus, answer: object) -> None:
    headers = {"Content-Type": "application/json"}
    head, body = response(status, headers, json.dumps(answer).encode())
    connection.respond(head + body)


async def _serve(
    script: Script,
    port: int,
    context: ssl.SSLContext | None,
    announce: Callable[[str], None],
    *,
    ends_with_stdin: bool,
) -> None:
    loop = asyncio.get_running_loop()
    service = ScriptedService(script, loop)
    server = await loop.create_server(
        lambda: Connection(service, loop), HOST, port, ssl=context, backlog=_BACKLOG
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if ends_with_stdin:
        # A file does not close: then the signals alone end it.
        with suppress(PermissionError):
            loop.add_reader(_STDIN, _stop_at_end, stopped)
    # What is there now stays; what a request leaves is freed without the collector.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    scheme = "http" if context is None else "https"
    announce(f"{scheme}://{HOST}:{server.sockets[0].getsockname()[1]}")
    await stopped.wait()
    server.close()


def _stop_at_end(stopped: asyncio.Event) -> None:
    if not os.read(_STDIN, 4096):
        stopped.set()


def serve(
    script: Script,
    *,
    port: int = 0,
    certificate: Path | None = None,
    private_key: Path | None = None,
    announce: Callable[[str], None],
    ends_with_stdin: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM.

    :param port: the TCP port; 0 for a free one
    :param certificate: a PEM file, for TLS
    :param private_key: the PEM file of its key, if that is not in the same file
    :param announce: called with the URL when connections are taken
    :param ends_with_stdin: serve no longer than standard input is open
    :raises OSError: if the port is taken or a file cannot be read
    """
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
    uvloop.run(_serve(script, port, context, announce, ends_with_stdin=ends_with_stdin))
