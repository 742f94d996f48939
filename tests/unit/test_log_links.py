"""Links to the function's own log of a call."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from retrofill.functions import FUNCTIONS
from retrofill.functions.aws_lambda.logs import own_log_group
from retrofill.functions.http.access import access
from retrofill.functions.http.params import HttpParams
from retrofill.functions.kind import Called
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError
from retrofill.model.function import Pinned

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:resize"
SENT = datetime(2026, 7, 18, 20, 59, 59, tzinfo=UTC)
CALL = Called("5d0b2a35-8b1a", SENT, SENT + timedelta(seconds=2))
LAMBDA = Pinned(kind="aws_lambda", name=ARN, version="1", timeout_s=3)
TEMPLATE = "https://logs.example/?q={request_id}&a={sent_ms}&b={ended_ms}&c={sent_at}&{x}"
HTTP = Pinned(
    kind="http", name="https://f", version="", timeout_s=3, facts={"log_url": TEMPLATE}
)  # fmt: skip


def link_of(function: Pinned, call: Called = CALL) -> str | None:
    log_link = FUNCTIONS[function.kind].log_link
    assert log_link is not None
    return log_link(function, call)


def decoded(link: str | None) -> str:
    """Return the query in a console link."""
    assert link is not None
    _, _, detail = link.partition("#logsV2:logs-insights$3FqueryDetail$3D")
    once = unquote(detail.replace("$25", "%"))
    return unquote(once.replace("*", "%"))


def test_a_call_of_lambda_is_a_query_in_the_console_of_its_region() -> None:
    link = link_of(LAMBDA)
    assert link is not None
    assert link.startswith(
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:"
        "logs-insights$3FqueryDetail$3D$257E$2528end$257E$25272026-07-18T21*3a05*3a01.000Z"
    )
    assert link.endswith("$257Esource$257E$2528$257E$2527*2faws*2flambda*2fresize$2529$2529")
    asked = decoded(link)
    assert "start~'2026-07-18T20:54:59.000Z~timeType~'ABSOLUTE" in asked
    assert 'filter @requestId = "5d0b2a35-8b1a"' in asked


def test_a_custom_log_group_is_used() -> None:
    found = {"FunctionArn": ARN, "LoggingConfig": {"LogGroup": "/teams/a b"}}
    function = replace(LAMBDA, facts=own_log_group(found))
    assert decoded(link_of(function)).endswith("source~(~'/teams/a b))")
    assert own_log_group({"FunctionArn": f"{ARN}:7"}) == {}
    usual = {"FunctionArn": ARN, "LoggingConfig": {"LogGroup": "/aws/lambda/resize"}}
    assert own_log_group(usual) == {}


def test_a_request_id_cannot_redirect_the_link() -> None:
    asked = link_of(LAMBDA, CALL._replace(request_id="~('*$\"x"))
    assert asked is not None
    assert asked.count("$257E") == link_of(LAMBDA).count("$257E")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (LAMBDA, CALL._replace(request_id="")),
        (replace(LAMBDA, name=ARN.replace("aws", "aws-iso", 1)), CALL),
        (HTTP, CALL._replace(request_id="")),
        (replace(HTTP, facts={}), CALL),
    ],
)
def test_without_known_logs_there_is_no_link(function: Pinned, call: Called) -> None:
    assert link_of(function, call) is None


def test_a_template_is_filled_in() -> None:
    assert link_of(HTTP, CALL._replace(request_id="a/b&c")) == (
        "https://logs.example/?q=a%2Fb%26c&a=1784408399000&b=1784408401001"
        "&c=2026-07-18T20%3A59%3A59%2B00%3A00&{x}"
    )


def connection(log_url: object) -> ConnectionFields:
    return ConnectionFields(
        conn_id="c", conn_type="http", host="https://f", extra={"log_url": log_url}
    )


def test_a_template_comes_from_the_connection_and_is_not_a_header() -> None:
    found = access(connection(TEMPLATE), HttpParams(http_conn_id="c"))
    assert found.log_url == TEMPLATE
    assert "log_url" not in dict(found.headers)


@pytest.mark.parametrize(
    "text", ["https://logs.example", "ftp://{request_id}", "{sent_at}", 5, " "]
)
def test_a_template_that_is_not_a_link_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match=r"the connection 'c' has log_url .*; give an http"):
        access(connection(text), HttpParams(http_conn_id="c"))
