"""What a call used, read from the end of its log, whatever the function printed before."""

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.functions.aws_lambda.usage import usage
from retrofill.functions.client import Reply
from retrofill.model.cost import Usage

ID = "79104eff-5b1f-4ba7-9e2c-0d6d8e3a5a1f"
OTHER = "00000000-5b1f-4ba7-9e2c-0d6d8e3a5a1f"


def text_report(request_id: str = ID, billed: object = 830, more: str = "") -> str:
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: 829.35 ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: 512 MB\tMax Memory Used: 77 MB\t{more}\n"
    )


def json_report(request_id: str = ID, **metrics: object) -> str:
    found = {"durationMs": 829.35, "billedDurationMs": 830, "memorySizeMB": 512}
    record = {"requestId": request_id, "metrics": {**found, "maxMemoryUsedMB": 77, **metrics}}
    event = {"time": "2026-01-02T03:04:05.678Z", "type": "platform.report", "record": record}
    return json.dumps(event, separators=(",", ":")) + "\n"


def used(log: str | bytes) -> Usage:
    encoded = b64encode(log if isinstance(log, bytes) else log.encode()).decode()
    headers = {"x-amz-log-result": encoded, "x-amzn-requestid": ID}
    return usage(Reply(1, 200, headers, b"null", took_ms=900))


@pytest.mark.parametrize(
    "log",
    [
        text_report(),
        text_report(more="Init Duration: 123.40 ms\t"),
        text_report(more="\nXRAY TraceId: 1-5e34a614\tSegmentId: 0a\tSampled: true\t"),
        text_report(more="Status: timeout"),
        f"cut in the middle of a li{text_report()}",
        f"{text_report(billed=1)}the function prints this itself\n{text_report()}",
        f"{text_report(OTHER, 1)}{text_report()}",
        b"\xff\xfe no UTF-8\n" + text_report().encode(),
        json_report(),
        f'{{"time":"t","message":"mine"}}\n{json_report()}',
        f"printed without an end of line{json_report()}",
        f"{json_report(billedDurationMs=1)}{json_report()}",
    ],
)
def test_the_last_report_of_the_log_counts(log: str | bytes):
    assert used(log) == Usage(900, 830, 77)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "hello\n",
        text_report(OTHER),
        f"{text_report()}{text_report(OTHER, 1)}",
        text_report(billed="many"),
        text_report().partition("\tMemory")[0],
        json_report(OTHER),
        json_report(billedDurationMs=-1),
        json_report(billedDurationMs=1.5),
        json_report(maxMemoryUsedMB=None),
        json_report()[:-4],
        '{"time":"t"}',
        '{"time"' + "[" * 2_000,
    ],
)
def test_without_a_report_only_the_duration_is_known(log: str):
    assert used(log) == Usage(900)


def test_a_missing_or_unreadable_log_is_allowed():
    assert usage(Reply(1, 200, {}, b"", took_ms=5)) == Usage(5)
    assert usage(Reply(1, 200, {"x-amz-log-result": "%%%"}, b"", took_ms=5)) == Usage(5)


@given(st.binary(max_size=200))
def test_no_log_causes_an_error(log: bytes):
    assert used(log) == Usage(900)


def test_a_billed_cold_start_is_reported():
    assert used(text_report(billed=953, more="Init Duration: 123.40 ms\t")) == (900, 953, 77, 123)
    assert used(text_report(billed=830, more="Init Duration: 123.40 ms\t")) == (900, 830, 77, None)
    assert used(json_report(billedDurationMs=953, initDurationMs=123.4)) == (900, 953, 77, 123)
    assert used(json_report(billedDurationMs=830, initDurationMs=123.4)) == (900, 830, 77, None)
    assert used(json_report(initDurationMs="x")) == (900, 830, 77, None)
