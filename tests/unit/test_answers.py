"""The answer contracts, case by case."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.answers import (
    ALL_SUCCEEDED,
    Answer,
    read_answer,
)
from retrofill.engine.outcomes import MAX_MESSAGE_CHARS
from retrofill.model.delivery import Contract

IDS = ("id-0", "id-1", "id-2")
LISTED = "listed in batchItemFailures"


def partial(body: bytes | str | object, identifiers: tuple[str, ...] = IDS) -> Answer:
    return read_answer(Contract.BATCH_ITEM_FAILURES, as_bytes(body), identifiers)


def batch(body: bytes | str | object, identifiers: tuple[str, ...] = ("id-0",)) -> Answer:
    return read_answer(Contract.S3_BATCH, as_bytes(body), identifiers)


def as_bytes(body: bytes | str | object) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")


def failures(*identifiers: object) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}


def response(*results: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {
        "invocationSchemaVersion": "1.0",
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": "id-0",
        "results": list(results),
        **fields,
    }


def result(code: object, text: object = "why", task: object = "id-0") -> dict[str, Any]:
    return {"taskId": task, "resultCode": code, "resultString": text}


UNREADABLE = [
    b"{",
    b"not json",
    b"<html></html>",
    b" ",
    b"\xff\xfe",
    b"\xef\xbb\xbfnull",
    "null".encode("utf-16"),
    b"{'batchItemFailures': []}",
    b'{"batchItemFailures": [],}',
    b'{"batchItemFailures": []} {}',
    b'{"batchItemFailures": [], "batchItemFailures": [{"itemIdentifier": "id-0"}]}',
    b'{"batchItemFailures": [{"itemIdentifier": "id-0", "itemIdentifier": "id-1"}]}',
    b'{"other": {"a": 1, "a": 1}}',
    b"NaN",
    b'{"batchItemFailures": [], "x": NaN}',
    b'{"x": Infinity}',
    b'{"x": [-Infinity]}',
    b"[" * 100_000,
    b"1" * 5_000,
]


@pytest.mark.parametrize("body", [b"", b"null", b"{", b"\xff", b'{"batchItemFailures": 5}', b"5"])
def test_return_does_not_read_the_response(body: bytes) -> None:
    assert read_answer(Contract.RETURN, body, IDS) is ALL_SUCCEEDED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b" null\n",
        b"{}",
        b"[]",
        b'""',
        b'{"batchItemFailures": null}',
        b'{"batchItemFailures": []}',
        b'{"statusCode": 200, "body": "done"}',
    ],
)
def test_complete_success(body: bytes) -> None:
    assert partial(body) == ALL_SUCCEEDED


def test_the_listed_items_failed_and_no_others() -> None:
    assert partial(failures("id-2", "id-0")) == Answer(failed={2: LISTED, 0: LISTED})


def test_all_items_listed_means_all_failed_and_not_the_call() -> None:
    answer = partial(failures(*IDS))
    assert sorted(answer.failed) == [0, 1, 2]
    assert not answer.malformed


def test_an_item_listed_twice_fails_once() -> None:
    assert partial(failures("id-1", "id-1")) == Answer(failed={1: LISTED})


def test_unknown_fields_are_ignored() -> None:
    body = {"batchItemFailures": [{"itemIdentifier": "id-1", "error": "boom"}], "state": {}}
    assert partial(body) == Answer(failed={1: LISTED})


def test_a_shared_identifier_fails_each_of_its_items() -> None:
    assert partial(failures("same"), ("same", "id-1", "same")) == Answer(
        failed={0: LISTED, 2: LISTED}
    )


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_response_that_is_not_json_fails_the_call(body: bytes) -> None:
    for answer in (partial(body), batch(body)):
        assert answer.malformed
        assert not answer.failed


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("5", "it is 5, not an object"),
        ("0", "it is 0, not an object"),
        ("false", "it is false, not an object"),
        ('"done"', 'it is "done", not an object'),
        ('["id-0"]', "it is a list, not an object"),
        ({"batchItemFailures": {}}, "batchItemFailures is an object, not a list"),
        ({"batchItemFailures": ""}, 'batchItemFailures is "", not a list'),
        ({"batchItemFailures": False}, "batchItemFailures is false, not a list"),
        ({"batchItemFailures": 0}, "batchItemFailures is 0, not a list"),
        ({"batchItemFailures": "id-0"}, 'batchItemFailures is "id-0", not a list'),
        ({"batchItemFailures": ["id-0"]}, 'batchItemFailures contains "id-0", not an object'),
        ({"batchItemFailures": [None]}, "batchItemFailures contains null, not an object"),
        ({"batchItemFailures": [{}]}, "the itemIdentifier of an entry"),
        ({"batchItemFailures": [{"foo": "id-0"}]}, "batchItemFailures is missing"),
        ({"batchItemFailures": [{"itemidentifier": "id-0"}]}, "batchItemFailures is missing"),
        (failures(""), 'batchItemFailures is ""'),
        (failures(None), "batchItemFailures is null"),
        (failures(123), "batchItemFailures is 123"),
        (failures(["id-0"]), "batchItemFailures is a list"),
        (failures("id-3"), 'itemIdentifier "id-3" is not of this call'),
        (failures("id-0", "id-3"), 'itemIdentifier "id-3" is not of this call'),
        (failures("ID-0"), 'itemIdentifier "ID-0" is not of this call'),
        (failures("id-0 "), 'itemIdentifier "id-0 " is not of this call'),
    ],
)
def test_an_ambiguous_response_fails_the_call(body: object, said: str) -> None:
    answer = partial(body)
    assert said in answer.malformed
    assert answer.malformed.startswith("the answer does not conform to batchItemFailures: ")
    assert not answer.failed


def test_another_unicode_form_is_another_identifier() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert partial(failures(composed), (composed,)).failed == {0: LISTED}
    assert "is not of this call" in partial(failures(decomposed), (composed,)).malformed


def test_reasons_are_short_and_can_be_stored() -> None:
    answer = partial(
        '{"batchItemFailures": [{"itemIdentifier": "\\u0000\\ud800' + "x" * 10**6 + '"}]}'
    )
    assert len(answer.malformed) < 250
    assert answer.malformed.isascii() is False  # the ellipsis
    assert "\0" not in answer.malformed
    assert answer.malformed.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["batchItemFailures", "itemIdentifier", "results", "taskId", "invocationId", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(json_values, st.sampled_from([Contract.BATCH_ITEM_FAILURES, Contract.S3_BATCH]))
def test_any_json_response_can_be_read(body: object, contract: Contract) -> None:
    answer = read_answer(contract, json.dumps(body).encode(), IDS)
    assert answer.permanent <= set(answer.failed) <= set(range(len(IDS)))
    assert not (answer.failed and answer.malformed)


@given(st.binary(max_size=40), st.sampled_from([Contract.BATCH_ITEM_FAILURES, Contract.S3_BATCH]))
def test_any_bytes_can_be_read(body: bytes, contract: Contract) -> None:
    read_answer(contract, body, IDS)


@given(st.lists(st.sampled_from(IDS)))
def test_exactly_the_listed_items_failed(listed: list[str]) -> None:
    assert {IDS[position] for position in partial(failures(*listed)).failed} == set(listed)


def test_s3_batch_success() -> None:
    assert batch(response(result("Succeeded"))) == ALL_SUCCEEDED


def test_s3_batch_temporary_failure_may_be_tried_again() -> None:
    assert batch(response(result("TemporaryFailure", "busy"))) == Answer(failed={0: "busy"})


def test_s3_batch_permanent_failure_may_not() -> None:
    answer = batch(response(result("PermanentFailure", "broken")))
    assert answer == Answer(failed={0: "broken"}, permanent=frozenset({0}))


@pytest.mark.parametrize("text", [None, ""])
def test_s3_batch_failure_without_a_text_shows_its_code(text: object) -> None:
    assert batch(response(result("TemporaryFailure", text))).failed == {0: "TemporaryFailure"}


@pytest.mark.parametrize("schema", ["1.0", "2.0"])
def test_s3_batch_schemas(schema: str) -> None:
    assert batch(response(result("Succeeded"), invocationSchemaVersion=schema)) == ALL_SUCCEEDED


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("Succeeded", ALL_SUCCEEDED),
        ("TemporaryFailure", Answer(failed={0: "no result for this task"})),
        (
            "PermanentFailure",
            Answer(failed={0: "no result for this task"}, permanent=frozenset({0})),
        ),
    ],
)
def test_s3_batch_treats_missing_tasks_as_the_response_asks(code: str, answer: Answer) -> None:
    assert batch(response(treatMissingKeysAs=code)) == answer


def test_s3_batch_needs_no_rule_for_missing_tasks_when_all_are_there() -> None:
    body = response(result("Succeeded"))
    del body["treatMissingKeysAs"]
    assert batch(body) == ALL_SUCCEEDED


def test_s3_batch_same_result_twice() -> None:
    assert batch(response(result("Succeeded"), result("Succeeded"))) == ALL_SUCCEEDED


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is null, not an object"),
        (b"null", "it is null, not an object"),
        (b"[]", "it is a list, not an object"),
        (b"{}", "invocationSchemaVersion is null; allowed: 1.0, 2.0"),
        (response(invocationSchemaVersion=1.0), "invocationSchemaVersion is 1.0; allowed: 1.0"),
        (response(invocationSchemaVersion="3.0"), 'invocationSchemaVersion is "3.0"'),
        (response(invocationId="id-1"), 'invocationId is "id-1"; allowed: id-0'),
        (response(invocationId=None), "invocationId is null"),
        (response(invocationId=""), 'invocationId is ""'),
        (response(treatMissingKeysAs="Failed"), 'treatMissingKeysAs is "Failed"'),
        (response(result("Succeeded"), treatMissingKeysAs=0), "treatMissingKeysAs is 0"),
        (response(treatMissingKeysAs=None), 'there is no result for the task "id-0"'),
        (response(results=None), "results is null, not a list"),
        (response(results={}), "results is an object, not a list"),
        (response(results=["id-0"]), 'results contains "id-0", not an object'),
        (response(result("Succeeded", task=None)), "the taskId of an entry of results is null"),
        (response(result("Succeeded", task="")), 'the taskId of an entry of results is ""'),
        (response(result("Succeeded", task="id-1")), 'taskId "id-1" is not of this call'),
        (response(result("succeeded")), 'resultCode is "succeeded"; allowed: Succeeded'),
        (response(result(None)), "resultCode is null"),
        (response({"taskId": "id-0"}), "resultCode is null"),
        (response(result("Succeeded", text=5)), "resultString is 5, not a text"),
        (
            response(result("Succeeded"), result("TemporaryFailure")),
            'two results of the task "id-0" differ',
        ),
    ],
)
def test_an_ambiguous_s3_batch_response_fails_the_call(body: object, said: str) -> None:
    answer = batch(body)
    assert said in answer.malformed
    assert not answer.failed


def test_reasons_of_a_function_are_cut_and_can_be_stored() -> None:
    said = "a\0b\ud800" + "\u00e9" * 10**6
    kept = batch(response(result("TemporaryFailure", said))).failed[0]
    assert kept.startswith("a\ufffdb\ufffd\u00e9")
    assert len(kept) == MAX_MESSAGE_CHARS
    assert kept.encode()


def test_a_stream_response_names_where_to_continue() -> None:
    body = json.dumps({"batchItemFailures": [{"itemIdentifier": "c"}, {"itemIdentifier": "b"}]})
    answer = read_answer(Contract.CHECKPOINT, body.encode(), ["a", "b", "c", "d"])
    assert set(answer.failed) == {1}
    assert answer.unread == {2, 3}
    assert not answer.malformed


@pytest.mark.parametrize("body", [b"", b"null", b'{"batchItemFailures":[]}'])
def test_a_stream_without_failures_is_read_to_its_end(body: bytes) -> None:
    assert read_answer(Contract.CHECKPOINT, body, ["a", "b"]) == Answer()


def test_a_stream_answer_about_another_record_fails_the_call() -> None:
    body = b'{"batchItemFailures":[{"itemIdentifier":"z"}]}'
    assert "is not of this call" in read_answer(Contract.CHECKPOINT, body, ["a"]).malformed
