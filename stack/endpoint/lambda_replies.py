"""The answers of the Lambda API: errors, failed functions, answer contracts, descriptions.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (batchItemFailures) and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html.
"""

import base64
import json
from collections.abc import Collection
from http import HTTPStatus
from typing import NamedTuple

from stack.endpoint.aws_errors import LambdaError, lambda_errors
from stack.endpoint.event_items import EventItem
from stack.endpoint.script import Function, Reply

_FIRST_SERVER_FAULT = 500
_CONTENT = {"Content-Type": "application/json", "Connection": "keep-alive"}
_ERROR_MESSAGES = {
    "TooManyRequestsException": "Rate Exceeded.",
    "ServiceException": "Service exception.",
    "RequestTooLargeException": (
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    ),
}
_FUNCTION_ERROR_MESSAGES = {
    "Sandbox.Timedout": "RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds",
    "Runtime.ExitError": "RequestId: {request_id} Error: Runtime exited with error: signal: killed",
    "Function.ResponseSizeTooLarge": (
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    ),
}


class Answer(NamedTuple):
    """An answer before it is bytes."""

    status: int
    """The HTTP status."""

    headers: dict[str, str]
    """The headers, without Content-Length and Date."""

    body: bytes
    """The body."""

    outcome: str
    """The status and, of an error, its name: what the counts call it."""


def json_answer(members: object, request_id: str) -> Answer:
    """Return a good answer with a JSON body."""
    headers = {**_CONTENT, "x-amzn-RequestId": request_id}
    return Answer(HTTPStatus.OK, headers, json.dumps(members).encode(), "200")


def error_answer(reply: Reply, request_id: str) -> Answer:
    """Return the answer for a reply with an ``error``."""
    name = reply.error or ""
    status, message_field = lambda_errors().get(name, LambdaError(reply.status or 500, "message"))
    status = reply.status or status
    members: dict[str, object] = {
        "Type": "Service" if status >= _FIRST_SERVER_FAULT else "User",
        message_field: reply.message or _ERROR_MESSAGES.get(name, f"Scripted {name}"),
    }
    if reply.reason is not None:
        members["Reason"] = reply.reason
    headers = {**_CONTENT, "x-amzn-RequestId": request_id, "x-amzn-ErrorType": name}
    if reply.retry_after_seconds is not None:
        headers["Retry-After"] = str(reply.retry_after_seconds)
    body = json.dumps({**members, **reply.extra}).encode()
    return Answer(status, {**headers, **reply.headers}, body, f"{status} {name}")


def function_error_answer(
    reply: Reply, function: Function, version: str, request_id: str
) -> Answer:
    """Return the answer for a reply with a ``function_error``."""
    kind = reply.function_error or ""
    message = reply.message
    if message is None:
        message = _FUNCTION_ERROR_MESSAGES.get(kind, "Scripted failure").format(
            request_id=request_id, timeout=function.timeout_seconds
        )
    members = {"errorMessage": message, "errorType": kind, "requestId": request_id}
    headers = {
        **_CONTENT,
        "x-amzn-RequestId": request_id,
        "X-Amz-Executed-Version": version,
        "X-Amz-Function-Error": "Unhandled",
        **reply.headers,
    }
    body = json.dumps({**members, "stackTrace": []}).encode()
    return Answer(HTTPStatus.OK, headers, body, f"200 Unhandled {kind}")


def function_answer(reply: Reply, body: bytes, version: str, request_id: str) -> Answer:
    """Return the answer of a function that ended well, as the reply changes it."""
    status = reply.status or HTTPStatus.OK
    headers = {
        **_CONTENT,
        "x-amzn-RequestId": request_id,
        "X-Amz-Executed-Version": version,
        **reply.headers,
    }
    return Answer(status, headers, body, f"{int(status)}")


def contract_body(
    contract: str, event: object, items: list[EventItem], failed: Collection[str]
) -> bytes:
    """Return the body of an answer contract that fails some items of an event.

    :param contract: ``batchItemFailures`` or ``s3batch``
    :param failed: the keys of the items that fail
    """
    if contract == "batchItemFailures":
        # Once per identifier: several items of one message are one failure.
        identifiers = dict.fromkeys(item.identifier for item in items if item.key in failed)
        failures = [{"itemIdentifier": identifier} for identifier in identifiers]
        return json.dumps({"batchItemFailures": failures}).encode()
    schema, invocation = "1.0", ""
    if isinstance(event, dict):
        schema = event.get("invocationSchemaVersion", schema)
        invocation = event.get("invocationId", invocation)
    results = [
        {
            "taskId": item.identifier,
            "resultCode": "PermanentFailure" if item.key in failed else "Succeeded",
            "resultString": "scripted",
        }
        for item in items
    ]
    answer = {
        "invocationSchemaVersion": schema,
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": invocation,
        "results": results,
    }
    return json.dumps(answer).encode()


def log_tail(request_id: str, version: str, seconds: float) -> str:
    """Return the value of X-Amz-Log-Result for an execution."""
    text = (
        f"START RequestId: {request_id} Version: {version}\nEND RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\n"
    )
    return base64.b64encode(text.encode()).decode()


def configuration(function: Function, arn: str, version: str) -> dict[str, object]:
    """Return what GetFunctionConfiguration tells of a function.

    :param arn: its ARN, with the qualifier if one was asked for
    """
    return {
        "FunctionName": function.name,
        "FunctionArn": arn,
        "Runtime": "python3.11",
        "Role": f"arn:aws:iam::{arn.split(':')[4]}:role/scripted",
        "Handler": "scripted.handler",
        "CodeSize": 1024,
        "Description": "",
        "Timeout": function.timeout_seconds,
        "MemorySize": function.memory_mb,
        "LastModified": "2024-01-01T00:00:00.000+0000",
        "CodeSha256": function.code_sha256,
        "Version": version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": "00000000-0000-4000-8000-000000000000",
        "State": function.state,
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
    }
