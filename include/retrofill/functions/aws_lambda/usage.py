"""Read what a call used from the last line of its log, whose tail Lambda sends on request.

Formats: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (X-Amz-Log-Type and
X-Amz-Log-Result), https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html and, where the
function logs in JSON,
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report.
"""

import binascii
import json
import re
from base64 import b64decode
from typing import Any

from retrofill.functions.client import Reply
from retrofill.model.cost import Usage

ASKS_FOR_LOG = ("X-Amz-Log-Type", "Tail")
"""The header that requests the tail of the log with the response."""

_REPORT = re.compile(
    r"^REPORT RequestId: (?P<id>\S+)\s+Duration: (?P<took>\d{1,9}(?:\.\d{1,9})?) ms"
    r"\s+Billed Duration: (?P<billed>\d{1,9}) ms"
    r"\s+Memory Size: \d+ MB\s+Max Memory Used: (?P<memory>\d{1,9}) MB\b"
    r"(?:\s+Init Duration: (?P<init>\d{1,9}(?:\.\d{1,9})?) ms)?",
    re.MULTILINE,
)
_EVENT = '{"time"'
_MOST = 10**9


def usage(reply: Reply) -> Usage:
    """Return what a call used; only its duration if its log is missing or unreadable.

    A function may print anything before Lambda's last line, so only the last report counts, and
    only if it is for this request.
    """
    encoded = reply.headers.get("x-amz-log-result")
    if encoded is None:
        return Usage(reply.took_ms)
    text = _tail(encoded)
    request_id = reply.headers.get("x-amzn-requestid", "")
    found = _in_text(text, request_id) or _in_json(text, request_id)
    return Usage(reply.took_ms, *(found or ()))


def _tail(encoded: str) -> str:
    try:
        return b64decode(encoded, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _in_text(text: str, request_id: str) -> tuple[int, int, int | None] | None:
    *_, last = [None, *_REPORT.finditer(text)]
    if last is None or last["id"] != request_id:
        return None
    billed = int(last["billed"])
    return (
        billed,
        int(last["memory"]),
        _start(billed, float(last["took"]), float(last["init"] or 0)),
    )


def _in_json(text: str, request_id: str) -> tuple[int, int, int | None] | None:
    # Text that a function printed without a line end is on the same line.
    at = text.rfind(_EVENT)
    try:
        event: Any = json.loads(text[at:].strip()) if at >= 0 else None
        if event["type"] != "platform.report" or event["record"]["requestId"] != request_id:
            return None
        metrics = event["record"]["metrics"]
        billed, memory = metrics["billedDurationMs"], metrics["maxMemoryUsedMB"]
        took, init = metrics.get("durationMs", 0), metrics.get("initDurationMs", 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(number, int) and 0 <= number < _MOST for number in (billed, memory)):
        return None
    if not all(isinstance(number, int | float) and 0 <= number < _MOST for number in (took, init)):
        return billed, memory, None
    return billed, memory, _start(billed, took, init)


def _start(billed_ms: int, took_ms: float, init_ms: float) -> int | None:
    """Return the milliseconds that started an environment, if they are among those billed.

    Since August 2025 they are, for all on-demand calls:
    https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
    """
    return round(init_ms) or None if billed_ms >= took_ms + init_ms - 1 else None
