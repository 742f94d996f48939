"""Classify calls: the outcome for every response of Lambda, and for none.

Sources: the errors of the Invoke operation and the table of common errors in AWS's API reference,
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html and .../api/CommonErrors.html.
"""

import math
import re
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from retrofill.engine.outcomes import (
    MAX_TYPE_CHARS,
    Cause,
    Ending,
    Outcome,
    storable,
)
from retrofill.functions.client import NoReply, Reply
from retrofill.functions.readings import (
    answer_cut,
    json_object,
    text_in,
    unanswered,
    whole_seconds,
)

TIMED_OUT = "Sandbox.Timedout"
"""The error type of a function that ran into its own timeout."""

OUT_OF_MEMORY = "Runtime.OutOfMemory"
"""The error type of a function that was killed because of its memory use."""

CRASHED = "Runtime.ExitError"
"""The error type of a function whose process ended before it responded."""

ANSWER_TOO_LARGE = "Function.ResponseSizeTooLarge"
"""The error type of a function that succeeded, but whose response exceeds 6 MB."""

UNFIT_ANSWER = "Runtime.MarshalError"
"""The error type of a function whose return value is not JSON. An async handler ends like this
too, without having run."""

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
            # Another execution with that name did start.
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

# Lambda's own texts, read only if there is no error type or Lambda itself set it.
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

_CAUSES = {
    TIMED_OUT: Cause.TIMED_OUT,
    OUT_OF_MEMORY: Cause.OUT_OF_MEMORY,
    CRASHED: Cause.CRASHED,
    ANSWER_TOO_LARGE: Cause.ANSWER_LOST,
    UNFIT_ANSWER: Cause.ANSWER_LOST,
}


_UNLOADED = (
    "the function's code could not be loaded, so it fails for any item: fix its package, its"
    " layers or its handler setting"
)
HINTS = {
    TIMED_OUT: "the function ran into its own timeout: give it more time, or fewer items per call",
    OUT_OF_MEMORY: "the function ran out of memory: give it more, or fewer items per call",
    UNFIT_ANSWER: "the function returned a value that is not JSON, such as a coroutine",
    **dict.fromkeys(
        (
            "Runtime.ImportModuleError",
            "Runtime.HandlerNotFound",
            "Runtime.MalformedHandlerName",
            "Runtime.UserCodeSyntaxError",
            "Runtime.InvalidEntrypoint",
        ),
        _UNLOADED,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException"),
        "AWS denied the function's own role an action: check that its policies cover existing data",
    ),
}
"""Explanations of errors that no item causes, of functions that ran."""


def classify(reply: Reply | NoReply) -> Ending:
    """Return the outcome of a call. The same reply always has the same outcome.

    The name of an error decides, then the HTTP status. The function's own message never does.
    """
    if isinstance(reply, NoReply):
        return unanswered(reply)
    headers = reply.headers
    request_id = headers.get("x-amzn-requestid", "")
    executed_version = headers.get("x-amz-executed-version", "")
    if reply.status == HTTPStatus.OK and not headers.get("x-amz-function-error"):
        if reply.cut:
            return answer_cut(request_id, executed_version)
        return Ending(Outcome.SUCCEEDED, request_id=request_id, executed_version=executed_version)
    ended = _function_error(reply) if reply.status == HTTPStatus.OK else _refused(reply)
    return replace(ended, request_id=request_id, executed_version=executed_version)


def starts_up(error_type: str) -> bool:
    """Return whether an error with this name disappears once the function has started."""
    return _BY_TYPE.get(error_type) is Outcome.STARTING


def _refused(reply: Reply) -> Ending:
    """Classify a response of the service itself: every status but 200."""
    body = json_object(reply.body)
    error_type = reply.headers.get("x-amzn-errortype", "").partition(":")[0]
    name = error_type or _short_name(text_in(body, "__type", "code"))
    kind = _BY_TYPE.get(name) or _BY_STATUS.get(reply.status) or _by_family(reply.status)
    message = text_in(body, "Message", "message", "errorMessage")
    if body is None:
        message = reply.body.decode("utf-8", "replace")
    reason = text_in(body, "Reason")
    return Ending(
        kind,
        storable(name or f"Http.{reply.status}", MAX_TYPE_CHARS),
        storable(f"{reason}: {message}" if reason else message),
        _retry_after_s(reply, body),
    )


def _by_family(status: int) -> Outcome:
    # An odd 2xx means that something accepted the call; a 3xx or 4xx would come again.
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.MISCONFIGURED
    return Outcome.UNKNOWN


def _function_error(reply: Reply) -> Ending:
    """Name the error of a function that ran: by its type or, without one, by Lambda's own text."""
    body = json_object(reply.body)
    function_error = reply.headers["x-amz-function-error"]
    handled = Cause.HANDLED if function_error == "Handled" else Cause.UNHANDLED
    if body is None:
        return Ending(
            Outcome.FAILED,
            storable(function_error, MAX_TYPE_CHARS),
            storable(reply.body.decode("utf-8", "replace")),
            cause=handled,
        )
    name = text_in(body, "errorType")
    message = text_in(body, "errorMessage")
    if not name:
        if _SAYS_TIMED_OUT.fullmatch(message):
            name = TIMED_OUT
        elif _SAYS_EXITED.fullmatch(message):
            name = CRASHED
    if name == CRASHED and _SAYS_KILLED.fullmatch(message):
        name = OUT_OF_MEMORY
    return Ending(
        Outcome.FAILED,
        storable(name or function_error, MAX_TYPE_CHARS),
        storable(message),
        cause=_CAUSES.get(name, handled),
        done=name == ANSWER_TOO_LARGE,
    )


def _short_name(name: str) -> str:
    """Return the bare error name, as defined by AWS's JSON protocols."""
    return name.partition(":")[0].rpartition("#")[2]


def _retry_after_s(reply: Reply, body: dict[str, Any] | None) -> float | None:
    seconds = whole_seconds(reply.headers.get("retry-after", ""))
    if seconds is not None:
        return seconds
    try:
        seconds = float((body or {}).get("retryAfterSeconds", math.nan))
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
