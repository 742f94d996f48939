"""The Lambda API: Invoke, and the few reads that a caller makes before it.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html and the pages beside it.
"""

import asyncio
import re
import uuid
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from stack.endpoint.connection import Connection, Request, date_header, response
from stack.endpoint.counts import Call, Counts
from stack.endpoint.delivery import deliver
from stack.endpoint.event_items import EventBody
from stack.endpoint.lambda_replies import (
    Answer,
    configuration,
    contract_body,
    error_answer,
    function_answer,
    function_error_answer,
    json_answer,
    log_tail,
)
from stack.endpoint.rulebook import Rulebook, Taken
from stack.endpoint.script import (
    REGION,
    USUAL,
    Function,
    Operation,
    Reply,
    Script,
    Wire,
)

MAX_SYNC_BYTES = 6_291_456
"""The longest body of a RequestResponse call (quota: 6 MB)."""

MAX_ASYNC_BYTES = 1_048_576
"""The longest body of an Event call (quota: 1 MB)."""

_FUNCTION_PATH = re.compile(r"/2015-03-31/functions/([^/]+)(?:/(invocations|configuration))?/?")
_CONCURRENCY_PATH = re.compile(r"/2019-09-30/functions/([^/]+)/concurrency/?")
_FUNCTION_NAME = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:)?(?:[a-z]{2}(?:-[a-z]+)+-\d:)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_INVOCATION_TYPE = b"x-amz-invocation-type"
_INVOCATION_ID = b"amz-sdk-invocation-id"
_LOG_TYPE = b"x-amz-log-type"
_NO_CONTENT = Reply(status=204, body="")
_ACCEPTED = Reply(status=202, body="")

Handler = Callable[[Connection, Request], None]
"""What answers a request."""


class LambdaRefusalError(Exception):
    """A request that gets an error of the Lambda API by itself, without a rule."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(error=error, message=message)


class Target(NamedTuple):
    """A function as a request names it."""

    function: Function
    """The function."""

    arn: str
    """Its ARN, with the qualifier if the request names one."""

    qualifier: str
    """The version or alias that the request names, or ''."""

    version: str
    """The version that this stands for."""

    lead: bytes
    """The first lines of the usual answer, up to the start of the request id."""


class _Invocation(NamedTuple):
    target: Target
    connection: Connection
    headers: dict[bytes, bytes]
    event: EventBody
    taken: Taken | None


class LambdaApi:
    """Answers the requests to the Lambda API as a script tells it."""

    def __init__(
        self, script: Script, rulebook: Rulebook, counts: Counts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._script = script
        self._rulebook = rulebook
        self._has_rules = bool(script.rules)
        self._counts = counts
        self._loop = loop
        self._functions = {function.name: function for function in script.functions}
        self._latency = script.latency
        self._counts_items = script.count_items
        self._records = script.record_calls
        self._reads_items = script.count_items or script.record_calls or rulebook.reads_items
        self._body = script.answer.encode()
        self._tail = b"Content-Length: %d\r\n\r\n%b" % (len(self._body), self._body)
        self._id_lead = str(uuid.uuid4())[:24]
        self._id_number = 0

    def route(self, method: str, path: str, query: str) -> Handler:
        """Return what answers the requests with this request line."""
        try:
            return self._route(method, path, query)
        except LambdaRefusalError as refusal:
            reply = refusal.reply
        return partial(self._refuse, reply)

    def _route(self, method: str, path: str, query: str) -> Handler:
        asked = parse_qs(query).get("Qualifier", [""])[0]
        match = _FUNCTION_PATH.fullmatch(path)
        if match is not None:
            target = self._target(unquote(match[1]), asked)
            if match[2] == "invocations" and method == "POST":
                return partial(self._invoke, target)
            if match[2] != "invocations" and method == "GET":
                described: object = configuration(target.function, target.arn, target.version)
                if match[2] is None:
                    described = {"Configuration": described, "Code": {"RepositoryType": "S3"}}
                return partial(self._describe, Operation.GET_FUNCTION, target, described)
        if method == "GET":
            match = _CONCURRENCY_PATH.fullmatch(path)
            if match is not None:
                target = self._target(unquote(match[1]), "")
                reserved = target.function.reserved_concurrency
                concurrency = {} if reserved is None else {"ReservedConcurrentExecutions": reserved}
                return partial(self._describe, "get_function_concurrency", target, concurrency)
            if path.rstrip("/") == "/2016-08-19/account-settings":
                limit = {
                    "ConcurrentExecutions": 1000,
                    "UnreservedConcurrentExecutions": self._script.unreserved_concurrency,
                }
                limits = {"AccountLimit": limit, "AccountUsage": {"FunctionCount": 1}}
                return partial(self._describe, "get_account_settings", None, limits)
            if path.rstrip("/") == "/2015-03-31/event-source-mappings":
                mappings: dict[str, object] = {"EventSourceMappings": []}
                return partial(self._describe, "list_event_source_mappings", None, mappings)
        text = f"Unable to determine service/operation name to be authorized: {method} {path}"
        raise LambdaRefusalError("AccessDeniedException", text)

    def _target(self, named: str, asked: str) -> Target:
        """Return the function that a name, a partial or a whole ARN means."""
        match = _FUNCTION_NAME.fullmatch(named)
        if match is None:
            text = f"1 validation error detected: Value '{named}' at 'functionName' is not valid"
            raise LambdaRefusalError("InvalidParameterValueException", text)
        name, qualifier = match["name"], match["qualifier"] or ""
        if asked and qualifier and asked != qualifier:
            text = "The derived qualifier from the function name does not match the qualifier"
            raise LambdaRefusalError("InvalidParameterValueException", text)
        qualifier = qualifier or asked
        script = self._script
        arn = f"arn:aws:lambda:{REGION}:{script.account}:function:{name}"
        arn += f":{qualifier}" if qualifier else ""
        function = self._functions.get(name)
        version = qualifier or "$LATEST"
        if function is not None:
            version = function.aliases.get(version, version)
        if function is None or version not in ("$LATEST", *function.versions):
            raise LambdaRefusalError("ResourceNotFoundException", f"Function not found: {arn}")
        lead = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
            f"X-Amz-Executed-Version: {version}\r\nx-amzn-RequestId: {self._id_lead}"
        )
        return Target(function, arn, qualifier, version, lead.encode())

    def _invoke(self, target: Target, connection: Connection, request: Request) -> None:
        headers = request.headers
        if headers.get(_INVOCATION_TYPE) == b"DryRun":
            self._describe(Operation.DRY_RUN, target, None, connection, request)
            return
        counts = self._counts
        counts.requests += 1
        counts.invocations += 1
        counts.by_operation["invoke"] += 1
        event = EventBody(request.body)
        try:
            taken = self._admit(target, event, headers, len(request.body))
        except LambdaRefusalError as refusal:
            self._send(connection, "invoke", error_answer(refusal.reply, self._next_id()))
            return
        executes = taken is None or taken.rule.reply.executes
        counts.enter(runs=executes)
        if self._counts_items:
            event.count(counts, executed=executes)
        if taken is not None or self._records or _is_asynchronous(headers) or _LOG_TYPE in headers:
            self._begin(_Invocation(target, connection, headers, event, taken))
        elif self._latency:
            self._loop.call_later(self._latency, self._end_usual, target, connection)
        else:
            self._end_usual(target, connection)

    def _admit(
        self, target: Target, event: EventBody, headers: dict[bytes, bytes], size: int
    ) -> Taken | None:
        """Return the rule that takes an invocation, if any.

        :raises LambdaRefusalError: if Lambda itself refuses it
        """
        identifier = headers.get(_INVOCATION_ID)
        if identifier:
            self._counts.note_invocation_id(identifier)
        limit = MAX_ASYNC_BYTES if _is_asynchronous(headers) else MAX_SYNC_BYTES
        if size > limit:
            text = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            raise LambdaRefusalError("RequestTooLargeException", text)
        if self._reads_items:
            try:
                event.read()
            except ValueError as error:
                raise LambdaRefusalError("InvalidRequestContentException", str(error)) from error
        if not self._has_rules:
            return None
        keys = event.keys() if self._rulebook.reads_items else ()
        name = target.function.name
        return self._rulebook.take(Operation.INVOKE, name, keys, self._counts.running)

    def _begin(self, invocation: _Invocation) -> None:
        """Begin an execution or a refusal that is not the usual one."""
        target, connection, headers, _, taken = invocation
        reply = USUAL if taken is None else taken.rule.reply
        request_id = self._next_id()
        answer = self._answer(invocation, reply, request_id)
        if headers.get(_LOG_TYPE) == b"Tail" and reply.executes:
            tail = log_tail(request_id, target.version, self._latency)
            answer.headers["X-Amz-Log-Result"] = tail
        delay = reply.delay + (self._latency if reply.executes else 0)
        if self._records:
            self._record(invocation, reply, answer, delay)
        if _is_asynchronous(headers) and reply.executes and reply.wire is Wire.WHOLE:
            # Accepted at once; how the function ends, nobody hears.
            self._after(delay, partial(self._counts.leave, ran=True))
            accepted = function_answer(_ACCEPTED, b"", target.version, request_id)
            self._send(connection, "invoke", accepted)
        else:
            self._after(delay, partial(self._end, connection, reply, answer))

    def _end_usual(self, target: Target, connection: Connection) -> None:
        """End an execution that no rule has touched: most of them, so without detours."""
        counts = self._counts
        counts.in_flight -= 1
        counts.running -= 1
        counts.by_outcome["invoke 200"] += 1
        self._id_number += 1
        connection.respond(
            b"%b%012x\r\n%b%b" % (target.lead, self._id_number, date_header(), self._tail)
        )

    def _end(self, connection: Connection, reply: Reply, answer: Answer) -> None:
        """End an execution or refusal that is not the usual one."""
        counts = self._counts
        if reply.executes:
            counts.running -= 1
        counts.by_outcome[f"invoke {_outcome(reply, answer)}"] += 1
        head, body = response(answer.status, answer.headers, answer.body)
        deliver(connection, reply, head, body, partial(counts.leave, ran=False))

    def _answer(self, invocation: _Invocation, reply: Reply, request_id: str) -> Answer:
        target, taken = invocation.target, invocation.taken
        if reply.error is not None:
            return error_answer(reply, request_id)
        if reply.function_error is not None:
            return function_error_answer(reply, target.function, target.version, request_id)
        body = self._body if reply.body is None else reply.body.encode()
        if taken is not None and reply.failed_items is not None:
            event, items = invocation.event.parsed()
            body = contract_body(reply.failed_items, event, items, set(taken.keys))
        return function_answer(reply, body, target.version, request_id)

    def _record(self, invocation: _Invocation, reply: Reply, answer: Answer, delay: float) -> None:
        now = self._loop.time()
        identifier = invocation.headers.get(_INVOCATION_ID, b"")
        self._counts.calls.append(
            Call(
                number=self._counts.invocations,
                function=invocation.target.function.name,
                qualifier=invocation.target.qualifier,
                keys=invocation.event.keys(),
                executed=reply.executes,
                outcome=_outcome(reply, answer),
                arrived_at=now,
                ran_until=now + delay if reply.executes else now,
                invocation_id=identifier.decode("latin-1"),
            )
        )

    def _describe(
        self,
        operation: str,
        target: Target | None,
        members: object,
        connection: Connection,
        _request: Request,
    ) -> None:
        """Answer a request that runs nothing: a dry run or a read.

        :param operation: an :class:`Operation`, or the name of one that no rule can watch
        """
        self._counts.requests += 1
        self._counts.by_operation[operation] += 1
        taken = None
        if self._has_rules and target is not None and isinstance(operation, Operation):
            taken = self._rulebook.take(operation, target.function.name)
        request_id = self._next_id()
        if operation is Operation.DRY_RUN:
            answer = function_answer(_NO_CONTENT, b"", "", request_id)
        else:
            answer = json_answer(members, request_id)
        if taken is None:
            self._send(connection, operation, answer)
            return
        reply = taken.rule.reply
        if reply.error is not None:
            answer = error_answer(reply, request_id)
        elif reply.body is not None or reply.status is not None:
            body = answer.body if reply.body is None else reply.body.encode()
            answer = function_answer(reply, body, "", request_id)
        self._after(reply.delay, partial(self._send, connection, operation, answer, reply))

    def _send(
        self, connection: Connection, operation: str, answer: Answer, reply: Reply = USUAL
    ) -> None:
        self._counts.by_outcome[f"{operation} {_outcome(reply, answer)}"] += 1
        head, body = response(answer.status, answer.headers, answer.body)
        deliver(connection, reply, head, body)

    def _refuse(self, reply: Reply, connection: Connection, _request: Request) -> None:
        """Answer a request for what there is not."""
        self._counts.requests += 1
        self._counts.by_operation["unknown"] += 1
        self._send(connection, "unknown", error_answer(reply, self._next_id()))

    def _after(self, delay: float, end: Callable[[], None]) -> None:
        if delay:
            self._loop.call_later(delay, end)
        else:
            end()

    def _next_id(self) -> str:
        self._id_number += 1
        return f"{self._id_lead}{self._id_number:012x}"


def _is_asynchronous(headers: dict[bytes, bytes]) -> bool:
    return headers.get(_INVOCATION_TYPE) == b"Event"


def _outcome(reply: Reply, answer: Answer) -> str:
    """Return what the counts call the way a call ended."""
    if reply.wire is Wire.WHOLE:
        return answer.outcome
    return f"{reply.wire.value} after {'running' if reply.executes else 'not running'}"
