"""The responses of the Lambda API: errors, results, descriptions, and the end of the log.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html and, for REPORT,
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html.
"""

import json
import math
from base64 import b64encode
from collections.abc import Collection
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote_plus

from stack.endpoint.aws_errors import LambdaError, lambda_errors
from stack.endpoint.script import ACCOUNT, REGION, Function, Reply

_TAIL_BYTES = 4_096
_CONTENT = {"Content-Type": "application/json", "Connection": "keep-alive"}
_FUNCTION_ERROR_MESSAGES = {
    "Sandbox.Timedout": "RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds",
    "Runtime.ExitError": "RequestId: {request_id} Error: Runtime exited with error: signal: killed",
}


class Answer(NamedTuple):
    """A response before it is encoded."""

    status: int
    headers: dict[str, str]
    """Without Content-Length and Date."""
    body: bytes


def json_answer(members: object, request_id: str) -> Answer:
    """Return a successful response with a JSON body."""
    headers = {**_CONTENT, "x-amzn-RequestId": request_id}
    return Answer(HTTPStatus.OK, headers, json.dumps(members).encode())


def error_answer(reply: Reply, request_id: str) -> Answer:
    """Return the response for a reply with an ``error``."""
    name = reply.error or ""
    status, message_field = lambda_errors().get(name, LambdaError(500, "message"))
    status = reply.status or status
    members = {
        "Type": "Service" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "User",
        message_field: reply.message or f"Scripted {name}",
        **reply.extra,
    }
    headers = {**_CONTENT, "x-amzn-RequestId": request_id, "x-amzn-ErrorType": name}
    return Answer(status, {**headers, **reply.headers}, json.dumps(members).encode())


def function_error_answer(
    reply: Reply, function: Function, version: str, request_id: str
) -> Answer:
    """Return the response for a reply with a ``function_error``."""
    kind = reply.function_error or ""
    message = reply.message
    if message is None:
        message = _FUNCTION_ERROR_MESSAGES.get(kind, "Scripted failure").format(
            request_id=request_id, timeout=function.timeout_seconds
        )
    members = {"errorMessage": message, "errorType": kind, "requestId": request_id}
    body = json.dumps({**members, "stackTrace": []}).encode()
    answer = function_answer(reply, body, version, request_id)
    answer.headers["X-Amz-Function-Error"] = "Unhandled"
    return answer


def function_answer(reply: Reply, body: bytes, version: str, request_id: str) -> Answer:
    """Return the response of a function that succeeded, as changed by the reply."""
    headers = {
        **_CONTENT,
        "x-amzn-RequestId": request_id,
        "X-Amz-Executed-Version": version,
        **reply.headers,
    }
    return Answer(reply.status or HTTPStatus.OK, headers, body)


def batch_results(body: bytes, failed: Collection[str]) -> bytes:
    """Return the results for an event of S3 Batch Operations.

    :param failed: the keys of the tasks that fail
    """
    event = json.loads(body)

    def code(task: dict[str, str]) -> str:
        return "PermanentFailure" if unquote_plus(task["s3Key"]) in failed else "Succeeded"

    answer = {
        "invocationSchemaVersion": event["invocationSchemaVersion"],
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": event["invocationId"],
        "results": [
            {"taskId": task["taskId"], "resultCode": code(task), "resultString": "scripted"}
            for task in event["tasks"]
        ],
    }
    return json.dumps(answer).encode()


def configuration(function: Function, version: str) -> dict[str, object]:
    """Return the output of GetFunctionConfiguration for a version of a function."""
    qualifier = "" if version == "$LATEST" else f":{version}"
    return {
        "FunctionName": function.name,
        "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}{qualifier}",
        "Timeout": function.timeout_seconds,
        "MemorySize": function.memory_mb,
        "Architectures": ["x86_64"],
        "CodeSha256": "c2NyaXB0ZWQgZnVuY3Rpb24ncyBjb2RlLCAzMiBCLi4=",
        "Version": version,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
    }


def billed_ms(seconds: float) -> int:
    """Return the billed duration of an execution: whole milliseconds, rounded up."""
    return max(1, math.ceil(round(seconds * 1_000, 6)))


def log_tail(function: Function, request_id: str, seconds: float) -> bytes:
    """Return the tail of an execution's log, as in the header X-Amz-Log-Result.

    :param seconds: how long it ran
    """
    end = _json if function.logs_json else _text
    log = function.prints + end(function, request_id, seconds)
    return b64encode(log.encode()[-_TAIL_BYTES:])


def _text(function: Function, request_id: str, seconds: float) -> str:
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {seconds * 1_000:.2f} ms\t"
        f"Billed Duration: {billed_ms(seconds)} ms\tMemory Size: {function.memory_mb} MB\t"
        f"Max Memory Used: {function.used_mb} MB\t\n"
    )


def _json(function: Function, request_id: str, seconds: float) -> str:
    metrics = {
        "durationMs": round(seconds * 1_000, 3),
        "billedDurationMs": billed_ms(seconds),
        "memorySizeMB": function.memory_mb,
        "maxMemoryUsedMB": function.used_mb,
    }
    record = {"requestId": request_id, "metrics": metrics, "status": "success"}
    event = {"time": "2026-01-02T03:04:05.678Z", "type": "platform.report", "record": record}
    return json.dumps(event, separators=(",", ":")) + "\n"
