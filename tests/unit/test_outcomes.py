import json

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.outcomes import (
    MAX_MESSAGE_CHARS,
    MAX_TYPE_CHARS,
    Ending,
    Outcome,
    storable,
)
from retrofill.functions.aws_lambda.outcomes import classify
from retrofill.functions.client import NoReply, Reply

REQUEST_ID = "8f0c7a6e-1b2c-4d5e-8f90-0123456789ab"


def reply(
    status: int = 200,
    body: object = b"null",
    *,
    error_type: str = "",
    function_error: str = "",
    retry_after: str = "",
) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "x-amzn-requestid": REQUEST_ID,
        "x-amz-executed-version": "3",
        "x-amz-function-error": function_error,
        "x-amzn-errortype": error_type,
        "retry-after": retry_after,
    }
    return Reply(7, status, headers, raw)


def ended_as(kind: Outcome, error_type: str = "", message: str = "") -> Ending:
    return Ending(kind, error_type, message, request_id=REQUEST_ID, executed_version="3")


THROTTLED, STARTING, UNKNOWN = Outcome.THROTTLED, Outcome.STARTING, Outcome.UNKNOWN
MISCONFIGURED, TOO_LARGE = Outcome.MISCONFIGURED, Outcome.TOO_LARGE

MODELLED = {
    "TooManyRequestsException": (429, THROTTLED),
    "EC2ThrottledException": (502, THROTTLED),
    "ResourceNotReadyException": (502, STARTING),
    "ENILimitReachedException": (502, STARTING),
    "ENINotReadyException": (502, STARTING),
    "SubnetIPAddressLimitReachedException": (502, STARTING),
    "EC2UnexpectedException": (502, STARTING),
    "ResourceConflictException": (409, STARTING),
    "SnapStartNotReadyException": (409, STARTING),
    "SnapStartTimeoutException": (408, STARTING),
    "SnapStartRegenerationFailureException": (409, STARTING),
    "CodeArtifactUserPendingException": (409, STARTING),
    "CodeArtifactUserDeletedException": (409, STARTING),
    "EFSMountConnectivityException": (408, STARTING),
    "EFSMountTimeoutException": (408, STARTING),
    "S3FilesMountConnectivityException": (408, STARTING),
    "S3FilesMountTimeoutException": (408, STARTING),
    "ServiceException": (500, UNKNOWN),
    "EFSIOException": (410, UNKNOWN),
    "DurableExecutionAlreadyStartedException": (409, UNKNOWN),
    "InvalidSecurityGroupIDException": (502, MISCONFIGURED),
    "InvalidSubnetIDException": (502, MISCONFIGURED),
    "InvalidRuntimeException": (502, MISCONFIGURED),
    "InvalidZipFileException": (502, MISCONFIGURED),
    "EC2AccessDeniedException": (502, MISCONFIGURED),
    "KMSAccessDeniedException": (502, MISCONFIGURED),
    "KMSDisabledException": (502, MISCONFIGURED),
    "KMSInvalidStateException": (502, MISCONFIGURED),
    "KMSNotFoundException": (502, MISCONFIGURED),
    "EFSMountFailureException": (403, MISCONFIGURED),
    "S3FilesMountFailureException": (403, MISCONFIGURED),
    "SnapStartException": (400, MISCONFIGURED),
    "NoPublishedVersionException": (400, MISCONFIGURED),
    "ResourceNotFoundException": (404, MISCONFIGURED),
    "InvalidParameterValueException": (400, MISCONFIGURED),
    "UnsupportedMediaTypeException": (415, MISCONFIGURED),
    "RecursiveInvocationException": (400, MISCONFIGURED),
    "ModeNotSupportedException": (400, MISCONFIGURED),
    "ServiceQuotaExceededException": (402, MISCONFIGURED),
    "RuntimeVersionDeletedException": (409, MISCONFIGURED),
    "RuntimeAliasDeletedException": (409, MISCONFIGURED),
    "CodeArtifactUserFailedException": (409, MISCONFIGURED),
    "RequestTooLargeException": (413, TOO_LARGE),
    "SerializedRequestEntityTooLargeException": (413, TOO_LARGE),
    "InvalidRequestContentException": (400, TOO_LARGE),
}
"""Every error that the Invoke operation models."""

UNMODELLED = {
    "ThrottlingException": (400, THROTTLED),
    "RequestLimitExceeded": (503, THROTTLED),
    "AccessDeniedException": (403, MISCONFIGURED),
    "ExpiredTokenException": (403, MISCONFIGURED),
    "UnrecognizedClientException": (403, MISCONFIGURED),
    "InvalidSignatureException": (403, MISCONFIGURED),
    "MissingAuthenticationTokenException": (403, MISCONFIGURED),
    "RequestEntityTooLargeException": (413, TOO_LARGE),
    "InternalFailure": (500, UNKNOWN),
    "ServiceUnavailable": (503, UNKNOWN),
    "RequestTimeoutException": (408, UNKNOWN),
    "NeverHeardOfException": (400, MISCONFIGURED),
    "NeverHeardOfEitherException": (502, UNKNOWN),
}

BY_STATUS = {
    **dict.fromkeys((201, 202, 204, 206, 408, 410, 500, 501, 502, 503, 504, 599), UNKNOWN),
    **dict.fromkeys((301, 307, 400, 401, 402, 403, 404, 405, 407, 415, 422, 451), MISCONFIGURED),
    409: STARTING,
    413: TOO_LARGE,
    429: THROTTLED,
}


def test_the_table_here_equals_botocores_model():
    model = Loader().load_service_model("lambda", "service-2")
    modelled = {
        error["shape"]: model["shapes"][error["shape"]]["error"]["httpStatusCode"]
        for error in model["operations"]["Invoke"]["errors"]
    }
    assert {name: status for name, (status, _) in MODELLED.items()} == modelled


@pytest.mark.parametrize(("name", "status", "kind"), [
    (name, status, kind) for name, (status, kind) in {**MODELLED, **UNMODELLED}.items()
])  # fmt: skip
def test_the_name_of_an_error_gives_its_class(name, status, kind):
    body = {"Type": "User", "message": "why"}
    assert classify(reply(status, body, error_type=name)) == ended_as(kind, name, "why")


@pytest.mark.parametrize(("status", "kind"), BY_STATUS.items())
def test_without_a_name_the_status_gives_the_class(status, kind):
    ended = classify(reply(status, b"<html>no</html>"))
    assert ended == ended_as(kind, f"Http.{status}", "<html>no</html>")


@pytest.mark.parametrize("body", [
    {"__type": "com.amazonaws.lambda#TooManyRequestsException:http://x", "message": "m"},
    {"code": "TooManyRequestsException", "Message": "m"},
])  # fmt: skip
def test_the_name_may_be_in_the_body(body):
    assert classify(reply(400, body)) == ended_as(THROTTLED, "TooManyRequestsException", "m")


def test_a_throttle_has_its_reason_and_wait():
    body = {"Reason": "CallerRateLimitExceeded", "message": "Rate exceeded"}
    ended = classify(reply(429, body, error_type="TooManyRequestsException", retry_after="3"))
    assert ended.message == "CallerRateLimitExceeded: Rate exceeded"
    assert ended.retry_after_s == 3.0


@pytest.mark.parametrize("said", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "", "1e3", "²"])
def test_a_retry_after_that_is_not_a_number_is_ignored(said):
    assert classify(reply(429, b"{}", retry_after=said)).retry_after_s is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2", 2.0), (1.5, 1.5), ("soon", None), (-1, None), ("inf", None), ([], None), (None, None)],
)
def test_the_wait_may_be_in_the_body(said, seconds):
    assert classify(reply(429, {"retryAfterSeconds": said})).retry_after_s == seconds


@pytest.mark.parametrize("body", [b"null", b"", b"{}", b"<html>", b'{"errorMessage":"x"}', b"\xff"])
def test_any_return_value_is_a_success(body):
    assert classify(reply(200, body)) == ended_as(Outcome.SUCCEEDED)


def failed(body: object, function_error: str = "Unhandled") -> tuple[str, str]:
    ended = classify(reply(200, body, function_error=function_error))
    assert ended.kind is Outcome.FAILED
    return ended.error_type, ended.message


def test_an_exception_is_a_failure_of_its_type():
    body = {"errorMessage": "no such order", "errorType": "KeyError", "stackTrace": []}
    assert failed(body) == ("KeyError", "no such order")


@pytest.mark.parametrize(("body", "error_type"), [
    (
        {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {REQUEST_ID} Error: Task timed out after 3.00 seconds",
        },
        "Sandbox.Timedout",
    ),
    (
        {
            "errorMessage": (
                f"2026-01-02T03:04:05.678Z {REQUEST_ID} Task timed out after 3.00 seconds"
            )
        },
        "Sandbox.Timedout",
    ),
    (
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": (
                f"RequestId: {REQUEST_ID} Error: Runtime exited with error: signal: killed"
            ),
        },
        "Runtime.OutOfMemory",
    ),
    (
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": (
                f"RequestId: {REQUEST_ID} Error: Runtime exited with error: exit status 1"
            ),
        },
        "Runtime.ExitError",
    ),
    (
        {"errorMessage": f"RequestId: {REQUEST_ID} Process exited before completing request"},
        "Runtime.ExitError",
    ),
    (
        {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size"},
        "Function.ResponseSizeTooLarge",
    ),
])  # fmt: skip
def test_timeout_crash_and_out_of_memory_are_distinguished(body, error_type):
    assert failed(body)[0] == error_type


@pytest.mark.parametrize("message", [
    f"2026-01-02T03:04:05.678Z {REQUEST_ID} Task timed out after 3.00 seconds",
    f"RequestId: {REQUEST_ID} Error: Runtime exited with error: signal: killed",
    "TooManyRequestsException: Rate Exceeded.",
])  # fmt: skip
def test_the_message_of_a_function_does_not_decide_its_class(message):
    assert failed({"errorType": "Exception", "errorMessage": message})[0] == "Exception"


@pytest.mark.parametrize(
    "message",
    ["my own Task timed out after 3.00 seconds", f"x {REQUEST_ID} Task timed out after 3 seconds!"],
)
def test_only_lambdas_own_messages_replace_a_missing_type(message):
    assert failed({"errorMessage": message})[0] == "Unhandled"


@pytest.mark.parametrize(
    ("error_type", "function_error", "cause"),
    [
        ("Sandbox.Timedout", "Unhandled", "timed_out"),
        ("Runtime.OutOfMemory", "Unhandled", "out_of_memory"),
        ("Runtime.ExitError", "Unhandled", "crashed"),
        ("Function.ResponseSizeTooLarge", "Unhandled", "answer_lost"),
        ("Runtime.MarshalError", "Unhandled", "answer_lost"),
        ("ValueError", "Unhandled", "unhandled"),
        ("ValueError", "Handled", "handled"),
        ("", "Unhandled", "unhandled"),
    ],
)
def test_a_failure_has_a_cause(error_type, function_error, cause):
    body = json.dumps({"errorType": error_type, "errorMessage": "m"}).encode()
    assert classify(reply(200, body, function_error=function_error)).cause == cause


@pytest.mark.parametrize(
    ("error_type", "done"),
    [
        ("Function.ResponseSizeTooLarge", True),
        # A coroutine as the handler ends like this too, and has done nothing.
        ("Runtime.MarshalError", False),
        ("Sandbox.Timedout", False),
    ],
)
def test_a_response_too_large_for_lambda_means_the_work_is_done(error_type, done):
    body = json.dumps({"errorType": error_type, "errorMessage": "m"}).encode()
    assert classify(reply(200, body, function_error="Unhandled")).done is done


def test_a_success_with_a_response_too_long_to_read_is_done():
    ended = classify(reply(200, b"")._replace(cut=True))
    assert (ended.kind, ended.error_type, ended.cause, ended.done) == (
        Outcome.FAILED, "Answer.TooLong", "answer_lost", True,
    )  # fmt: skip


def test_an_unreadable_error_has_a_cause():
    assert classify(reply(200, b"<html>", function_error="Unhandled")).cause == "unhandled"
    assert classify(reply(429, b"{}")).cause == classify(reply(200, b"null")).cause == ""


@pytest.mark.parametrize("body", [
    b"not json", b'"text"', b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000,
])  # fmt: skip
def test_an_unreadable_error_is_an_error(body):
    error_type, message = failed(body, "Handled")
    assert error_type == "Handled"
    assert message == body.decode("utf-8", "replace")[:MAX_MESSAGE_CHARS]


@pytest.mark.parametrize("value", [None, 5, ["a"], {}, ""])
def test_fields_of_a_wrong_type_count_as_missing(value):
    assert failed({"errorType": value, "errorMessage": value}) == ("Unhandled", "")


def test_a_sent_call_without_a_response_is_unknown():
    ended = classify(NoReply(7, sent=True, error="reset by peer"))
    assert ended == Ending(UNKNOWN, "Call.NoAnswer", "reset by peer")


def test_a_call_that_was_not_sent_is_sent_again():
    ended = classify(NoReply(7, sent=False, error="connection refused"))
    assert ended == Ending(STARTING, "Call.NotSent", "connection refused")


def test_every_class_is_covered_above():
    assert {str(kind) for kind in Outcome} == {
        "succeeded", "failed", "throttled", "starting", "unknown", "misconfigured", "too_large",
    }  # fmt: skip


def stored(text: str) -> None:
    assert "\0" not in text
    text.encode()


@given(st.text(st.characters(exclude_categories=())), st.integers(0, 50))
def test_any_text_is_made_safe_for_postgres(text, most):
    safe = storable(text, most)
    stored(safe)
    assert len(safe) <= most


def test_safe_text_stays_as_it_is():
    assert storable("naïve 😀 \n\t") == "naïve 😀 \n\t"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_of_a_function_can_be_stored(text):
    error_type, message = failed({"errorType": text + "x", "errorMessage": text * 50})
    stored(error_type)
    stored(message)
    assert len(error_type) <= MAX_TYPE_CHARS
    assert len(message) <= MAX_MESSAGE_CHARS


def test_a_long_error_is_cut():
    assert len(failed({"errorType": "E", "errorMessage": "x" * 10_000_000})[1]) == 1_000


@given(st.integers(200, 599), st.binary(max_size=200), st.text(max_size=20), st.text(max_size=9))
def test_any_reply_has_a_class(status, body, error_type, function_error):
    ended = classify(reply(status, body, error_type=error_type, function_error=function_error))
    assert isinstance(ended.kind, Outcome)
    assert (ended.kind is Outcome.SUCCEEDED) == (status == 200 and not function_error)
