"""What became of one call: the class of every answer Lambda can give, and of none at all.

Sources: the errors of the Invoke operation and the table of common errors in AWS's API reference,
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html and .../api/CommonErrors.html.
"""

import json
import math
import re
from http import HTTPStatus
from typing import Any

from retrofill.engine.outcomes import (
    MAX_TYPE_CHARS,
    NO_ANSWER,
    NOT_SENT,
    Cause,
    Ended,
    Outcome,
    storable,
)
from retrofill.functions.replies import NoReply, Reply

TIMED_OUT = "Sandbox.Timedout"
"""The error type of a function that ran into its own timeout."""

OUT_OF_MEMORY = "Runtime.OutOfMemory"
"""The error type of a function that was killed for its use of memory."""

CRASHED = "Runtime.ExitError"
"""The error type of a function whose process ended before it answered."""

_BY_TYPE: dict[str, Outcome] = {
    name: outcome
    for outcome, names in {
        Outcome.THROTTLED: (
            "TooManyRequestsException",
            "EC2ThrottledException",
            "ThrottlingException",
            "Throttling",
            "RequestLimitExceeded",
        ),
        Outcome.STARTING: (
            "ResourceNotReadyException",
            "ENILimitReachedException",
            "ENINotReadyException",
            "SubnetIPAddressLimitReachedException",
            "EC2UnexpectedException",
            "ResourceConflictException",
            "SnapStartNotReadyException",
            "SnapStartTimeoutException",
            "SnapStartRegenerationFailureException",
            "CodeArtifactUserPendingException",
            "CodeArtifactUserDeletedException",
            "EFSMountConnectivityException",
            "EFSMountTimeoutException",
            "S3FilesMountConnectivityException",
            "S3FilesMountTimeoutException",
        ),
        Outcome.UNKNOWN: (
            "ServiceException",
            "EFSIOException",
            "InternalFailure",
            "ServiceUnavailable",
            "RequestAbortedException",
            "RequestTimeoutException",
            # Another execution of that name did start; we never name one.
            "DurableExecutionAlreadyStartedException",
        ),
        Outcome.MISCONFIGURED: (
            "InvalidSecurityGroupIDException",
            "InvalidSubnetIDException",
            "InvalidRuntimeException",
            "InvalidZipFileException",
            "EC2AccessDeniedException",
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "EFSMountFailureException",
            "S3FilesMountFailureException",
            "SnapStartException",
            "NoPublishedVersionException",
            "ResourceNotFoundException",
            "InvalidParameterValueException",
            "UnsupportedMediaTypeException",
            "RecursiveInvocationException",
            "ModeNotSupportedException",
            "ServiceQuotaExceededException",
            "RuntimeVersionDeletedException",
            "RuntimeAliasDeletedException",
            "CodeArtifactUserFailedException",
            "AccessDeniedException",
            "ExpiredTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "InvalidClientTokenId",
            "NotAuthorized",
            "OptInRequired",
            "RequestExpired",
            "UnknownOperationException",
            "ValidationError",
        ),
        Outcome.TOO_LARGE: (
            "RequestTooLargeException",
            "SerializedRequestEntityTooLargeException",
            "RequestEntityTooLargeException",
            "InvalidRequestContentException",
        ),
    }.items()
    for name in names
}

_BY_STATUS: dict[int, Outcome] = {
    # Without a name, these do not say whether the function ran.
    HTTPStatus.REQUEST_TIMEOUT: Outcome.UNKNOWN,
    HTTPStatus.GONE: Outcome.UNKNOWN,
    HTTPStatus.CONFLICT: Outcome.STARTING,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Outcome.TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: Outcome.THROTTLED,
}

# Lambda's own words, read only where there is no error type or Lambda itself gave it.
_REQUEST_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SAYS_TIMED_OUT = re.compile(
    rf"(?:\S+ {_REQUEST_ID}|RequestId: {_REQUEST_ID} Error:) Task timed out after [0-9.]+ seconds"
)
_SAYS_EXITED = re.compile(
    rf"RequestId: {_REQUEST_ID} (?:Error: Runtime exited with(?:out providing a reason| error: .*)"
    r"|Process exited before completing request)"
)
_SAYS_KILLED = re.compile(
    rf"RequestId: {_REQUEST_ID} Error: Runtime exited with error: signal: killed"
)

_CAUSES = {TIMED_OUT: Cause.TIMED_OUT, OUT_OF_MEMORY: Cause.OUT_OF_MEMORY, CRASHED: Cause.CRASHED}

_SUCCESS = Ended(Outcome.SUCCEEDED)


def classify(reply: Reply | NoReply) -> Ended:
    """Return what became of the call that ended so; the same reply always gives the same.

    The name of an error decides its class, then the HTTP status; what a function's own message
    says never does.
    """
    if isinstance(reply, NoReply):
        if reply.sent:
            return Ended(Outcome.UNKNOWN, NO_ANSWER, storable(reply.error))
        return Ended(Outcome.STARTING, NOT_SENT, storable(reply.error))
    if reply.status != HTTPStatus.OK:
        return _refused(reply)
    if reply.function_error:
        return _function_error(reply)
    return _SUCCESS


def _refused(reply: Reply) -> Ended:
    """Classify an answer of the service itself: every status but 200."""
    body = _object(reply.body)
    name = reply.error_type or _short_name(_text(body, "__type", "code"))
    kind = _BY_TYPE.get(name) or _BY_STATUS.get(reply.status) or _by_family(reply.status)
    message = _text(body, "Message", "message", "errorMessage")
    if body is None:
        message = reply.body.decode("utf-8", "replace")
    reason = _text(body, "Reason")
    return Ended(
        kind,
        storable(name or f"Http.{reply.status}", MAX_TYPE_CHARS),
        storable(f"{reason}: {message}" if reason else message),
        _retry_after_s(reply, body),
    )


def _by_family(status: int) -> Outcome:
    # An odd 2xx was accepted by somebody; a 3xx or 4xx would be answered the same way again.
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.MISCONFIGURED
    return Outcome.UNKNOWN


def _function_error(reply: Reply) -> Ended:
    """Name the error of a function that ran: by its type, and by Lambda's own words at most."""
    body = _object(reply.body)
    handled = Cause.HANDLED if reply.function_error == "Handled" else Cause.UNHANDLED
    if body is None:
        return Ended(
            Outcome.FAILED,
            storable(reply.function_error, MAX_TYPE_CHARS),
            storable(reply.body.decode("utf-8", "replace")),
            cause=handled,
        )
    name = _text(body, "errorType")
    message = _text(body, "errorMessage")
    if not name:
        if _SAYS_TIMED_OUT.fullmatch(message):
            name = TIMED_OUT
        elif _SAYS_EXITED.fullmatch(message):
            name = CRASHED
    if name == CRASHED and _SAYS_KILLED.fullmatch(message):
        name = OUT_OF_MEMORY
    return Ended(
        Outcome.FAILED,
        storable(name or reply.function_error, MAX_TYPE_CHARS),
        storable(message),
        cause=_CAUSES.get(name, handled),
    )


def _object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body holds; None when it holds none."""
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(body: dict[str, Any] | None, *names: str) -> str:
    """Return the first of the named fields that is a text with something in it."""
    for name in names:
        value = (body or {}).get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _short_name(name: str) -> str:
    """Return the bare error name, as AWS's JSON protocols say it is to be found."""
    return name.partition(":")[0].rpartition("#")[2]


def _retry_after_s(reply: Reply, body: dict[str, Any] | None) -> float | None:
    if reply.retry_after_s is not None:
        return reply.retry_after_s
    try:
        seconds = float((body or {}).get("retryAfterSeconds", math.nan))
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
