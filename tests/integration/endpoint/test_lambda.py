"""The scripted Lambda answers the real client as Lambda does."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
)
from mypy_boto3_lambda import LambdaClient

from stack.endpoint import (
    Function,
    Reply,
    Script,
)
from tests.integration.endpoint.clients import (
    QUICK,
    Follow,
    always,
    eventually,
    s3_event,
)


def test_an_invocation_is_answered_as_lambda_does(follow: Follow, functions: LambdaClient) -> None:
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
        ("scripted", "2", "2"),
        ("scripted:live", None, "2"),
        ("000000000000:function:scripted", "1", "1"),
        ("arn:aws:lambda:us-east-1:000000000000:function:scripted", "live", "2"),
        ("arn:aws:lambda:us-east-1:000000000000:function:scripted:1", "1", "1"),
    ],
)
def test_a_function_goes_by_many_names(
    follow: Follow, functions: LambdaClient, name: str, qualifier: str | None, version: str
) -> None:
    function = Function(versions=("1", "2"), aliases={"live": "2"}, timeout_seconds=9)
    follow(Script(latency=QUICK, functions=(function,)))
    qualified = {} if qualifier is None else {"Qualifier": qualifier}
    answer = functions.invoke(FunctionName=name, **qualified)  # type: ignore[arg-type]
    assert answer["ExecutedVersion"] == version
    told = functions.get_function_configuration(FunctionName=name, **qualified)
    assert (told["Version"], told["State"], told["Timeout"]) == (version, "Active", 9)
    assert told["FunctionArn"].startswith("arn:aws:lambda:us-east-1:000000000000:function:scripted")
    whole = functions.get_function(FunctionName=name, **qualified)
    assert whole["Configuration"]["CodeSha256"] == told["CodeSha256"]


@pytest.mark.parametrize("name", ["missing", "scripted:9", "scripted:nolive"])
def test_an_unknown_function_is_not_found(
    follow: Follow, functions: LambdaClient, name: str
) -> None:
    endpoint = follow(Script())
    with pytest.raises(functions.exceptions.ResourceNotFoundException) as caught:
        functions.invoke(FunctionName=name)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert answer["Error"]["Message"].startswith("Function not found: arn:aws:lambda:")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function_configuration(FunctionName=name)
    assert endpoint.stats().executions == 0


def test_dry_runs_and_events(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    dry = functions.invoke(FunctionName="scripted", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    assert endpoint.stats().executions == 0
    event = functions.invoke(FunctionName="scripted", InvocationType="Event", Payload=s3_event("a"))
    assert event["StatusCode"] == 202
    assert endpoint.items() == {"a": 1}
    assert eventually(lambda: endpoint.stats().in_flight == 0)
    assert endpoint.stats().by_operation == {"dry_run": 1, "invoke": 1}


def test_what_lambda_itself_refuses(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(Script(latency=QUICK))
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_455 + b'"')
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(
            FunctionName="scripted",
            InvocationType="Event",
            Payload=b'"' + b"x" * 1_048_576 + b'"',
        )
    with pytest.raises(functions.exceptions.InvalidRequestContentException):
        functions.invoke(FunctionName="scripted", Payload=b"{")
    assert endpoint.stats().executions == 0
    answer = functions.invoke(FunctionName="scripted", Payload=b'"' + b"x" * 6_291_454 + b'"')
    assert answer["StatusCode"] == 200


def test_the_log_tail_comes_if_asked_for(follow: Follow, functions: LambdaClient) -> None:
    follow(Script(latency=QUICK))
    answer = functions.invoke(FunctionName="scripted", LogType="Tail")
    assert answer["LogResult"]
    assert "LogResult" not in functions.invoke(FunctionName="scripted")


def test_other_reads(follow: Follow, functions: LambdaClient) -> None:
    follow(Script(functions=(Function(reserved_concurrency=7),), unreserved_concurrency=700))
    told = functions.get_function_concurrency(FunctionName="scripted")
    assert told["ReservedConcurrentExecutions"] == 7
    account = functions.get_account_settings()["AccountLimit"]
    assert account["ConcurrentExecutions"] == 1000
    assert account["UnreservedConcurrentExecutions"] == 700
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
def test_errors_come_as_boto_knows_them(
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


def test_a_throttle_has_reason_and_retry_after(follow: Follow, functions: LambdaClient) -> None:
    reply = Reply(
        error="TooManyRequestsException",
        reason="ReservedFunctionConcurrentInvocationLimitExceeded",
        retry_after_seconds=3,
        extra={"more": [1]},
        headers={"X-More": "yes"},
    )
    follow(always(reply))
    with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
        functions.invoke(FunctionName="scripted")
    answer: Any = caught.value.response
    assert answer["Reason"] == reply.reason
    assert answer["retryAfterSeconds"] == "3"
    assert answer["Type"] == "User"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-more"] == "yes"


def test_a_failing_function_answers_200(follow: Follow, functions: LambdaClient) -> None:
    endpoint = follow(always(Reply(function_error="Sandbox.Timedout"), keys=frozenset({"poison"})))
    good = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "b"))
    assert "FunctionError" not in good
    bad = functions.invoke(FunctionName="scripted", Payload=s3_event("a", "poison"))
    assert bad["FunctionError"] == "Unhandled"
    told = json.loads(bad["Payload"].read())
    assert told["errorType"] == "Sandbox.Timedout"
    assert told["errorMessage"].endswith("Task timed out after 60.00 seconds")
    assert endpoint.items() == {"a": 2, "b": 1, "poison": 1}
    assert endpoint.items(above=1) == {"a": 2}
    assert endpoint.stats().by_outcome == {
        "invoke 200": 1,
        "invoke 200 Unhandled Sandbox.Timedout": 1,
    }
    assert (endpoint.stats().running, endpoint.stats().in_flight) == (0, 0)


def test_a_body_is_sent_byte_for_byte(follow: Follow, functions: LambdaClient) -> None:
    for body in ("", "null", "<html>", '{"a":1,"a":2}', "NaN", "x" * 3_000_000, "é\r\n\0"):
        follow(always(Reply(body=body)))
        answer = functions.invoke(FunctionName="scripted")
        assert answer["Payload"].read() == body.encode()


def test_items_fail_through_the_answer_contracts(follow: Follow, functions: LambdaClient) -> None:
    messages = [
        {"messageId": f"m-{key}", "body": s3_event(key).decode()} for key in ("a b", "c", "d")
    ]
    event = json.dumps({"Records": messages}).encode()
    follow(always(Reply(failed_items="batchItemFailures"), keys=frozenset({"a b", "d"})))
    answer = functions.invoke(FunctionName="scripted", Payload=event)
    assert json.loads(answer["Payload"].read()) == {
        "batchItemFailures": [{"itemIdentifier": "m-a b"}, {"itemIdentifier": "m-d"}]
    }
    tasks = [{"taskId": "1", "s3Key": "a+b"}, {"taskId": "2", "s3Key": "c"}]
    event = json.dumps(
        {"invocationSchemaVersion": "2.0", "invocationId": "i", "tasks": tasks}
    ).encode()
    follow(always(Reply(failed_items="s3batch"), keys=frozenset({"a b"})))
    answer = functions.invoke(FunctionName="scripted", Payload=event)
    told = json.loads(answer["Payload"].read())
    assert told["invocationId"] == "i"
    assert told["invocationSchemaVersion"] == "2.0"
    assert [(one["taskId"], one["resultCode"]) for one in told["results"]] == [
        ("1", "PermanentFailure"),
        ("2", "Succeeded"),
    ]
