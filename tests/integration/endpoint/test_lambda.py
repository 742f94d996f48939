"""The scripted Lambda answers the real client like Lambda."""

import json
import re
from base64 import b64decode
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_lambda import LambdaClient

from stack.endpoint import Function, Reply, Rule, Script
from tests.integration.endpoint.clients import QUICK, Follow, always, s3_event


def test_an_invocation_is_answered_like_by_lambda(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK, answer='{"ok": true}'))
    answer = functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {"ok": True}
    identifier = answer["ResponseMetadata"]["RequestId"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier)
    again = functions.invoke(FunctionName="scripted", Payload=s3_event("a b"))
    assert again["ResponseMetadata"]["RequestId"] != identifier
    assert endpoint.items() == {"a b": 2}


@pytest.mark.parametrize(
    ("name", "qualifier", "version"),
    [
        ("scripted", None, "$LATEST"),
        ("scripted", "$LATEST", "$LATEST"),
        ("scripted", "1", "1"),
        ("000000000000:function:scripted", "1", "1"),
        ("arn:aws:lambda:us-east-1:000000000000:function:scripted", "1", "1"),
    ],
)
def test_a_function_is_found_by_any_form_of_its_name(
    follow: Follow, functions: LambdaClient, name: str, qualifier: str | None, version: str
) -> None:
    follow(Script(latency=QUICK, functions=(Function(timeout_seconds=9),)))
    qualified = {} if qualifier is None else {"Qualifier": qualifier}
    answer = functions.invoke(FunctionName=name, **qualified)  # type: ignore[arg-type]
    assert answer["ExecutedVersion"] == version
    answered = functions.get_function_configuration(FunctionName=name, **qualified)
    assert (answered["Version"], answered["State"], answered["Timeout"]) == (version, "Active", 9)
    assert answered["FunctionArn"].startswith(
        "arn:aws:lambda:us-east-1:000000000000:function:scripted"
    )


@pytest.mark.parametrize(("name", "qualifier"), [("missing", "1"), ("scripted", "9")])
def test_an_unknown_function_is_not_found(
    follow: Follow, functions: LambdaClient, name: str, qualifier: str
) -> None:
    endpoint = follow(Script())
    with pytest.raises(functions.exceptions.ResourceNotFoundException) as caught:
        functions.invoke(FunctionName=name, Qualifier=qualifier)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert answer["Error"]["Message"].startswith("Function not found: ")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function_configuration(FunctionName=name, Qualifier=qualifier)
    assert endpoint.stats().executions == 0


def test_dry_runs_do_not_run_the_function(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    dry = functions.invoke(FunctionName="scripted", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    assert endpoint.stats().executions == 0
    assert endpoint.stats().by_operation == {"dry_run": 1}


def test_requests_that_lambda_refuses_are_refused(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_455 + b'"')
    with pytest.raises(functions.exceptions.InvalidParameterValueException):
        functions.invoke(FunctionName="scripted", InvocationType="Event")
    with pytest.raises(functions.exceptions.InvalidRequestContentException):
        functions.invoke(FunctionName="scripted", Payload=b"{")
    assert endpoint.stats().executions == 0
    answer = functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_454 + b'"')
    assert answer["StatusCode"] == 200


def test_other_read_operations_are_answered(follow: Follow, functions: LambdaClient) -> None:
    follow(Script())
    answered = functions.get_function_concurrency(FunctionName="scripted")
    assert "ReservedConcurrentExecutions" not in answered
    account = functions.get_account_settings()["AccountLimit"]
    assert account["UnreservedConcurrentExecutions"] == 1000
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []


# Scripted errors.


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(error="ServiceException"), 500, "ServiceException"),
        (Reply(error="EC2ThrottledException"), 502, "EC2ThrottledException"),
        (Reply(error="ResourceConflictException"), 409, "ResourceConflictException"),
        (Reply(error="EFSIOException"), 410, "EFSIOException"),
        (Reply(error="AccessDeniedException"), 403, "AccessDeniedException"),
        (Reply(error="NewException", status=418), 418, "NewException"),
        (Reply(error="ServiceException", status=503), 503, "ServiceException"),
        (Reply(status=504, body="<html>Gateway Timeout</html>"), 504, "504"),
    ],
)
def test_errors_have_the_form_boto_expects(
    follow: Follow, functions: LambdaClient, reply: Reply, status: int, code: str
) -> None:
    endpoint = follow(always(reply))
    with pytest.raises(ClientError) as caught:
        functions.invoke(FunctionName="scripted", Payload=s3_event("a"))
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    stats = endpoint.stats()
    assert (stats.invocations, stats.executions) == (1, 0)
    assert endpoint.items() == {}
    assert endpoint.items(of="received") == {"a": 1}


def test_an_error_has_the_scripted_members_and_headers(
    follow: Follow, functions: LambdaClient
) -> None:
    reply = Reply(
        error="TooManyRequestsException",
        extra={"Reason": "CallerRateLimitExceeded"},
        headers={"Retry-After": "3"},
    )
    follow(always(reply))
    with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
        functions.invoke(FunctionName="scripted")
    answer: Any = caught.value.response
    assert answer["Reason"] == "CallerRateLimitExceeded"
    assert answer["retryAfterSeconds"] == "3"
    assert answer["Type"] == "User"


def test_a_failing_function_answers_200(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(always(Reply(function_error="Sandbox.Timedout"), keys=frozenset({"poison"})))
    good = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "b"))
    assert "FunctionError" not in good
    bad = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "poison"))
    assert bad["FunctionError"] == "Unhandled"
    answered = json.loads(bad["Payload"].read())
    assert answered["errorType"] == "Sandbox.Timedout"
    assert answered["errorMessage"].endswith("Task timed out after 60.00 seconds")
    assert endpoint.items() == {"a": 2, "b": 1, "poison": 1}
    assert endpoint.items(above=1) == {"a": 2}
    assert endpoint.stats().in_flight == 0


def test_a_body_is_sent_byte_for_byte(follow: Follow, functions: LambdaClient) -> None:
    for body in ("", "null", "<html>", '{"a":1,"a":2}', "NaN", "x" * 3_000_000, "é\r\n\0"):
        follow(always(Reply(body=body)))
        answer = functions.invoke(FunctionName="scripted")
        assert answer["Payload"].read() == body.encode()


def test_items_fail_via_the_response(follow: Follow, functions: LambdaClient) -> None:
    tasks = [{"taskId": "1", "s3Key": "a+b"}, {"taskId": "2", "s3Key": "c"}]
    event = json.dumps(
        {"invocationSchemaVersion": "2.0", "invocationId": "i", "tasks": tasks}
    ).encode()
    follow(always(Reply(fails_items=True), keys=frozenset({"a b"})))
    answer = functions.invoke(FunctionName="scripted", Payload=event)
    answered = json.loads(answer["Payload"].read())
    assert answered["invocationId"] == "i"
    assert answered["invocationSchemaVersion"] == "2.0"
    assert [(one["taskId"], one["resultCode"]) for one in answered["results"]] == [
        ("1", "PermanentFailure"),
        ("2", "Succeeded"),
    ]


# The end of the log.


def sized_event(*sizes: int) -> bytes:
    objects = [{"s3": {"object": {"key": str(at), "size": size}}} for at, size in enumerate(sizes)]
    return json.dumps({"Records": objects}).encode()


def test_the_log_reports_the_billed_duration_and_the_sum_is_kept(
    follow: Follow, functions: LambdaClient
) -> None:
    function = Function(memory_mb=512, used_mb=77, prints="hello")
    script = Script(functions=(function,), latency=0.0021, seconds_per_mb=0.01)
    endpoint = follow(script)
    answer = functions.invoke(
        FunctionName="scripted", LogType="Tail", Payload=sized_event(1_000_000, 500_000)
    )
    identifier = answer["ResponseMetadata"]["RequestId"]
    assert b64decode(answer["LogResult"]).decode() == (
        f"helloEND RequestId: {identifier}\nREPORT RequestId: {identifier}\tDuration: 17.10 ms\t"
        "Billed Duration: 18 ms\tMemory Size: 512 MB\tMax Memory Used: 77 MB\t\n"
    )
    assert answer["Payload"].read() == b"null"
    assert endpoint.stats().billed_ms == 18
    unasked = functions.invoke(FunctionName="scripted", Payload=sized_event(1))
    assert unasked["Payload"].read() == b"null"
    assert "LogResult" not in unasked
    assert (endpoint.stats().billed_ms, endpoint.stats().executions) == (18 + 3, 2)


def test_a_refused_call_costs_nothing_and_a_failed_one_does(
    follow: Follow, functions: LambdaClient
) -> None:
    endpoint = follow(always(Reply(error="TooManyRequestsException")))
    with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
        functions.invoke(FunctionName="scripted", LogType="Tail")
    answer: Any = caught.value.response
    assert "x-amz-log-result" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert endpoint.stats().billed_ms == 0
    function = Function(logs_json=True)
    rule = Rule(reply=Reply(function_error="Boom", delay=0.004))
    endpoint = follow(Script(functions=(function,), latency=QUICK, rules=(rule,)))
    failed = functions.invoke(FunctionName="scripted", LogType="Tail")
    assert json.loads(failed["Payload"].read())["errorType"] == "Boom"
    answered = json.loads(b64decode(failed["LogResult"]))
    assert answered["type"] == "platform.report"
    assert answered["record"]["requestId"] == failed["ResponseMetadata"]["RequestId"]
    assert answered["record"]["metrics"]["billedDurationMs"] == 5
    assert endpoint.stats().billed_ms == 5
