"""Classify calls: the outcome for every response of an HTTP function, and for none.

Statuses: https://www.rfc-editor.org/rfc/rfc9110.html#section-15. JSON errors are read according to
https://www.rfc-editor.org/rfc/rfc9457.html.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from retrofill.engine.outcomes import MAX_TYPE_CHARS, Cause, Ending, Outcome, storable
from retrofill.functions.client import NoReply, Reply
from retrofill.functions.readings import (
    answer_cut,
    json_object,
    text_in,
    unanswered,
    whole_seconds,
)

_BY_STATUS: dict[int, Outcome] = {
    **dict.fromkeys(
        (
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.PAYMENT_REQUIRED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.METHOD_NOT_ALLOWED,
            HTTPStatus.NOT_ACCEPTABLE,
            HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
            HTTPStatus.GONE,
            HTTPStatus.LENGTH_REQUIRED,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.MISDIRECTED_REQUEST,
            HTTPStatus.UPGRADE_REQUIRED,
            HTTPStatus.NOT_IMPLEMENTED,
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        ),
        Outcome.MISCONFIGURED,
    ),
    HTTPStatus.TOO_MANY_REQUESTS: Outcome.THROTTLED,
    HTTPStatus.TOO_EARLY: Outcome.STARTING,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Outcome.TOO_LARGE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Outcome.TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: Outcome.UNKNOWN,
    HTTPStatus.INTERNAL_SERVER_ERROR: Outcome.FAILED,
    HTTPStatus.SERVICE_UNAVAILABLE: Outcome.STARTING,
}

_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-cloud-trace-context",
    "x-ms-request-id",
    "traceparent",
)
"""The headers in which servers name a request, most common first."""


def classify(reply: Reply | NoReply) -> Ending:
    """Return the outcome of a call. The same reply always has the same outcome.

    Every 2xx is a success. A 500 and most 4xx are errors of the function about its items. 401, 403,
    404 and the like would come for every call, so they stop the run. Redirects are not followed. If
    a gateway answers, nobody knows whether the function ran.
    """
    if isinstance(reply, NoReply):
        return unanswered(reply)
    headers = reply.headers
    request_id = next((headers[name] for name in _REQUEST_IDS if headers.get(name)), "")
    request_id = storable(request_id, MAX_TYPE_CHARS)
    status = reply.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        if reply.cut:
            return answer_cut(request_id)
        return Ending(Outcome.SUCCEEDED, request_id=request_id)
    retry_after_s = _retry_after_s(headers)
    outcome = _BY_STATUS.get(status) or _by_family(status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after_s is not None:
        outcome = Outcome.THROTTLED
    cause = ""
    if outcome is Outcome.FAILED:
        crashed = status == HTTPStatus.INTERNAL_SERVER_ERROR
        cause = Cause.UNHANDLED if crashed else Cause.HANDLED
    return Ending(
        outcome,
        f"Http.{status}",
        storable(_message(reply)),
        retry_after_s,
        cause,
        request_id=request_id,
    )


def _by_family(status: int) -> Outcome:
    if status < HTTPStatus.BAD_REQUEST:
        return Outcome.MISCONFIGURED
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.FAILED
    return Outcome.UNKNOWN


def _message(reply: Reply) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        # The rest of the address may contain a token.
        where = re.split("[?#]", reply.headers.get("location", "nowhere"))[0]
        return f"redirected to {where}; redirects are not followed"
    body = json_object(reply.body)
    said = text_in(body, "detail", "message", "error", "title")
    return said or reply.body.decode("utf-8", "replace")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in Retry-After: a number, or a time by the server's own clock.

    Format: https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3.
    """
    said = headers.get("retry-after", "")
    seconds = whole_seconds(said)
    if seconds is not None or not said:
        return seconds
    try:
        until = parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, until.total_seconds())
