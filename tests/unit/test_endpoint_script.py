"""Scripts as dataclasses and as JSON, and how mistakes in them are reported."""

import pytest
from pydantic import ValidationError

from stack.endpoint.script import (
    Bucket,
    Function,
    Operation,
    Reply,
    Rule,
    S3Object,
    Script,
    Span,
    Wire,
    parse_script,
    render_script,
)


def test_a_script_survives_json() -> None:
    script = Script(
        functions=(Function(name="f", timeout_seconds=9),),
        buckets=(
            Bucket(name="odd", objects=(S3Object(key=" a+%2B\r\n\t\U0001f600\0", size=3),)),
            Bucket(name="many", generated=10_000_000),
        ),
        rules=(
            Rule(keys=frozenset({"a", "b"}), arrivals=Span(last=2), reply=Reply(wire=Wire.RST)),
            Rule(
                operation=Operation.LIST_OBJECTS,
                calls=frozenset({2}),
                reply=Reply(error="SlowDown", delay=0.5),
            ),
        ),
        latency=0.2,
        answer='{"batchItemFailures": []}',
    )
    text = render_script(script)
    assert "\n" not in text
    assert parse_script(text) == script


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"latancy": 1}', ["latancy"]),
        ('{"latency": -1}', ["latency", "-1"]),
        ('{"latency": "NaN"}', ["latency"]),
        ('{"rules": [{"reply": {"eror": "x"}}]}', ["rules.0.reply.eror"]),
        (
            '{"rules": [{"reply": {"error": "TooManyRequestException"}}]}',
            ["rules.0", "'TooManyRequestException'", "TooManyRequestsException"],
        ),
        (
            '{"rules": [{"operation": "list_objects", "reply": {"error": "ServiceException"}}]}',
            ["'ServiceException'", "list_objects"],
        ),
        (
            '{"rules": [{"reply": {"error": "ServiceException", "body": "x"}}]}',
            ["error and body", "at most one"],
        ),
        (
            '{"rules": [{"reply": {"function_error": "E", "fails_items": true}}]}',
            ["function_error and fails_items", "at most one"],
        ),
        (
            '{"rules": [{"reply": {"function_error": "E", "runs": false}}]}',
            ["runs=False"],
        ),
        (
            '{"rules": [{"operation": "list_objects", "keys": ["a"], "reply": {}}]}',
            ["keys", "'invoke' only"],
        ),
        ('{"rules": [{"reply": {"headers": {"a": "b\\r\\nc: d"}}}]}', ["headers", "one line"]),
        ('{"rules": [{"calls": {"first": 0}, "reply": {}}]}', ["calls", "first"]),
        ('{"buckets": [{"name": "B"}]}', ["buckets.0.name", "'B'"]),
        (
            '{"buckets": [{"objects": [{"key": "a"}, {"key": "a"}]}]}',
            ["objects", "'a'", "more than once"],
        ),
        (
            '{"buckets": [{"objects": [{"key": "a", "modified_at": "2024-01-01T00:00:00"}]}]}',
            ["modified_at", "time zone"],
        ),
        ('{"buckets": [{"generated": 20000000}]}', ["generated", "10000000"]),
        (
            '{"buckets": [{"generated": 1, "objects": [{"key": "a"}]}]}',
            ["objects and generated"],
        ),
        ('{"buckets": [{"name": "abc"}, {"name": "abc"}]}', ["buckets", "'abc'"]),
        ("nonsense", ["JSON"]),
    ],
)
def test_a_bad_script_is_refused_with_field_and_value(text: str, parts: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_script(text)
    for part in parts:
        assert part in str(caught.value)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_script('{"latency": "slow", "answer": 1, "bukets": []}')
    assert caught.value.error_count() == 3


@pytest.mark.parametrize(
    ("reply", "executes"),
    [
        (Reply(), True),
        (Reply(body="x"), True),
        (Reply(function_error="E"), True),
        (Reply(wire=Wire.CUT), True),
        (Reply(wire=Wire.STALL), True),
        (Reply(wire=Wire.DRIP), True),
        (Reply(error="ServiceException"), False),
        (Reply(status=503, body="<html>"), False),
        (Reply(wire=Wire.HANG), False),
        (Reply(wire=Wire.FIN), False),
        (Reply(wire=Wire.RST), False),
        (Reply(wire=Wire.RST, runs=True), True),
        (Reply(error="ServiceException", runs=True), True),
    ],
)
def test_each_action_knows_whether_the_function_runs(reply: Reply, *, executes: bool) -> None:
    assert reply.executes is executes


def test_a_span_holds_its_first_and_its_last_number() -> None:
    assert [n for n in range(1, 10) if n in Span(first=2, last=4)] == [2, 3, 4]
    assert 10**9 in Span(first=3)
    assert 2 not in Span(first=3)
