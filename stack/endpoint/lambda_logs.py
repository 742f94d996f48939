"""The log of an execution, whose last 4 KB an invocation may request: its REPORT.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (LogType, LogResult) and
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html.
"""

import json
import math
from base64 import b64encode

from stack.endpoint.script import Function

_TAIL_BYTES = 4_096


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
