"""Readings of replies that all kinds of functions share."""

import json
from typing import Any

from retrofill.engine.outcomes import (
    NO_ANSWER,
    NOT_SENT,
    TOO_LONG,
    Cause,
    Ending,
    Outcome,
    storable,
)
from retrofill.functions.client import NoReply


def unanswered(reply: NoReply) -> Ending:
    """Return the outcome of a call without a complete response: not sent, or unknown.

    >>> unanswered(NoReply(1, sent=False, error="connection refused")).kind
    <Outcome.STARTING: 'starting'>
    """
    if reply.sent:
        return Ending(Outcome.UNKNOWN, NO_ANSWER, storable(reply.error))
    return Ending(Outcome.STARTING, NOT_SENT, storable(reply.error))


def answer_cut(request_id: str, executed_version: str = "") -> Ending:
    """Return the outcome of a call that succeeded with a response over the limit."""
    return Ending(
        Outcome.FAILED,
        TOO_LONG,
        "the function succeeded, but its answer is longer than the limit",
        cause=Cause.ANSWER_LOST,
        request_id=request_id,
        executed_version=executed_version,
        done=True,
    )


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body; None if there is none."""
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text_in(body: dict[str, Any] | None, *names: str) -> str:
    """Return the first of the named fields that is a non-empty text."""
    for name in names:
        value = (body or {}).get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def whole_seconds(text: str) -> float | None:
    """Return the seconds in a Retry-After field; None for a date or nonsense."""
    return float(text) if text.isascii() and text.isdigit() else None
