"""The Lambda API: Invoke, and the few reads that a caller makes before it.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html and neighbouring pages.
"""

import asyncio
import re
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote

from stack.endpoint.connection import Connection, Request, date_header, response
from stack.endpoint.counts import Call, Counts
from stack.endpoint.event_items import bytes_of, keys_of
from stack.endpoint.lambda_replies import (
    Answer,
    batch_results,
    billed_ms,
    configuration,
    error_answer,
    function_answer,
    function_error_answer,
    json_answer,
    log_tail,
)
from stack.endpoint.rulebook import Rulebook, Taken
from stack.endpoint.script import USUAL, Function, Operation, Reply, Script

MAX_BODY_BYTES = 6_291_456
"""The longest body of a call (quota: 6 MB)."""
CONCURRENCY = 1_000
"""The account's concurrent executions; no function has reserved any of them."""

_FUNCTION_PATH = re.compile(
    r"/\d{4}-\d\d-\d\d/functions/(?:[^/]*:)?(?P<name>[a-zA-Z0-9-_]+)"
    r"/(?P<asked>invocations|configuration|concurrency)"
)
_VERSIONS = ("$LATEST", "1")
_DRY_RUN = Reply(status=204)
_SYNCHRONOUS = b"RequestResponse"
_BYTES_OF_A_MB = 1_000_000

Handler = Callable[[Connection, Request], None]
"""Answers a request."""


class LambdaRefusalError(Exception):
    """A request that gets an error of the Lambda API without a rule."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(error=error, message=message)


class Target(NamedTuple):
    """The function that a request names."""

    function: Function
    version: str
    lead: bytes
    """The first lines of the usual response, up to the request id."""


class LambdaApi:
    """Answers the requests to the Lambda API according to a script."""

    def __init__(
        self, script: Script, rulebook: Rulebook, counts: Counts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._script = script
        self._rulebook = rulebook
        self._counts = counts
        self._loop = loop
        self._functions = {function.name: function for function in script.functions}
        self._reads_items = script.count_items or script.record_calls or rulebook.reads_items
        self._body = script.answer.encode()
        self._tail = b"Content-Length: %d\r\n\r\n%b" % (len(self._body), self._body)
        self._id_lead = str(uuid.uuid4())[:24]
        self._id_number = 0

    def route(self, method: str, asked: SplitResult) -> Handler:
        """Return what answers the requests with this request line."""
        try:
            return self._route(method, unquote(asked.path).rstrip("/"), asked.query)
        except LambdaRefusalError as refusal:
            return partial(self._refuse, refusal.reply)

    def _route(self, method: str, path: str, query: str) -> Handler:
        target = None
        if found := _FUNCTION_PATH.fullmatch(path):
            target = self._target(found["name"], parse_qs(query).get("Qualifier", ["$LATEST"])[0])
        match method, found["asked"] if found else path:
            case "POST", "invocations" if target:
                return partial(self._invoke, target)
            case "GET", "configuration" if target:
                described = configuration(target.function, target.version)
                return partial(self._describe, "get_function_configuration", described)
            case "GET", "concurrency":
                return partial(self._describe, "get_function_concurrency", {})
            case "GET", "/2016-08-19/account-settings":
                limit = {"AccountLimit": {"UnreservedConcurrentExecutions": CONCURRENCY}}
                return partial(self._describe, "get_account_settings", limit)
            case "GET", "/2015-03-31/event-source-mappings":
                mappings: dict[str, object] = {"EventSourceMappings": []}
                return partial(self._describe, "list_event_source_mappings", mappings)
        text = f"Unable to determine service/operation name to be authorized: {method} {path}"
        raise LambdaRefusalError("AccessDeniedException", text)

    def _target(self, name: str, version: str) -> Target:
        if name not in self._functions or version not in _VERSIONS:
            text = f"Function not found: {name}:{version}"
            raise LambdaRefusalError("ResourceNotFoundException", text)
        lead = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
            f"X-Amz-Executed-Version: {version}\r\nx-amzn-RequestId: "
        )
        return Target(self._functions[name], version, lead.encode())

    def _invoke(self, target: Target, connection: Connection, request: Request) -> None:
        counts = self._counts
        kind = request.headers.get(b"x-amz-invocation-type", _SYNCHRONOUS)
        if kind == b"DryRun":
            counts.request("dry_run")
            self._send(connection, function_answer(_DRY_RUN, b"", target.version, self._next_id()))
            return
        counts.request("invoke")
        counts.stats.invocations += 1
        try:
            keys = self._admit(kind, request.body)
        except LambdaRefusalError as refusal:
            self._send(connection, error_answer(refusal.reply, self._next_id()))
            return
        taken = self._rulebook.take(Operation.INVOKE, target.function.name, keys, counts.running)
        reply = USUAL if taken is None else taken.rule.reply
        runs = reply.executes
        delay = reply.delay + (self._duration(request.body) if runs else 0)
        counts.enter(keys, runs=runs, billed_ms=billed_ms(delay) if runs else 0)
        request_id = self._next_id()
        log = b""
        if runs and request.headers.get(b"x-amz-log-type") == b"Tail":
            log = log_tail(target.function, request_id, delay)
        if self._script.record_calls:
            now = self._loop.time()
            counts.calls.append(Call(list(keys), runs, now, now + delay if runs else now))
        if taken is None:
            self._loop.call_later(delay, self._end_usual, target, connection, request_id, log)
        else:
            answer = self._answer(target, request.body, taken, request_id)
            if log:
                answer.headers.setdefault("X-Amz-Log-Result", log.decode())
            self._loop.call_later(delay, self._end, connection, reply, answer)

    def _admit(self, kind: bytes, body: bytes) -> Sequence[str]:
        """Return the keys of an invocation's items, if they are needed.

        :raises LambdaRefusalError: Lambda itself refuses it
        """
        if kind != _SYNCHRONOUS:
            text = f"The invocation type {kind.decode('latin-1')} is not scripted"
            raise LambdaRefusalError("InvalidParameterValueException", text)
        if len(body) > MAX_BODY_BYTES:
            text = f"Request must be smaller than {MAX_BODY_BYTES} bytes"
            raise LambdaRefusalError("RequestTooLargeException", text)
        if not self._reads_items:
            return ()
        try:
            return keys_of(body)
        except ValueError as error:
            raise LambdaRefusalError("InvalidRequestContentException", str(error)) from error

    def _duration(self, body: bytes) -> float:
        """Return the seconds that an execution takes if no rule makes it longer."""
        seconds, per_mb = self._script.latency, self._script.seconds_per_mb
        return seconds + per_mb * bytes_of(body) / _BYTES_OF_A_MB if per_mb else seconds

    def _end_usual(
        self, target: Target, connection: Connection, request_id: str, log: bytes
    ) -> None:
        """End an execution that no rule took. Most are such, so this is the fast path."""
        self._counts.running -= 1
        self._counts.leave()
        log_header = b"X-Amz-Log-Result: %b\r\n" % log if log else b""
        connection.respond(
            b"%b%b\r\n%b%b%b"
            % (target.lead, request_id.encode(), log_header, date_header(), self._tail)
        )

    def _end(self, connection: Connection, reply: Reply, answer: Answer) -> None:
        """End any other execution or refusal."""
        if reply.executes:
            self._counts.running -= 1
        connection.deliver(reply, *response(*answer), self._counts.leave)

    def _answer(self, target: Target, body: bytes, taken: Taken, request_id: str) -> Answer:
        """Return the response to a call that a rule takes."""
        reply = taken.rule.reply
        if reply.error is not None:
            return error_answer(reply, request_id)
        if reply.function_error is not None:
            return function_error_answer(reply, target.function, target.version, request_id)
        if reply.fails_items:
            text = batch_results(body, set(taken.keys))
        else:
            text = self._body if reply.body is None else reply.body.encode()
        return function_answer(reply, text, target.version, request_id)

    def _describe(
        self, operation: str, members: object, connection: Connection, _request: Request
    ) -> None:
        """Answer a read."""
        self._counts.request(operation)
        self._send(connection, json_answer(members, self._next_id()))

    def _refuse(self, reply: Reply, connection: Connection, _request: Request) -> None:
        """Answer a request for something that does not exist."""
        self._counts.request("unknown")
        self._send(connection, error_answer(reply, self._next_id()))

    def _send(self, connection: Connection, answer: Answer) -> None:
        connection.respond(b"".join(response(*answer)))

    def _next_id(self) -> str:
        self._id_number += 1
        return f"{self._id_lead}{self._id_number:012x}"
