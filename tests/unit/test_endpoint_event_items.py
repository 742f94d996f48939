"""The items of every event shape are found, and both readers find the same."""

import base64
import json
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint.event_items import EventItem, items_of, parse_event, s3_keys


def s3_record(key: str) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": 'b","object":{"key":"not this'},
            "object": {"key": quote_plus(key, safe="/"), "size": 1},
        },
    }


def s3_event(*keys: str) -> dict[str, Any]:
    return {"Records": [s3_record(key) for key in keys]}


ODD = ["a b", "a+b", "a%2Bb", "a\nb\r", "\U0001f600", 'q"\\', "\u00e9", "e\u0301", "x" * 1024]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_s3_keys_are_read_whatever_the_spacing(separators: tuple[str, str]) -> None:
    body = json.dumps(s3_event(*ODD), separators=separators).encode()
    encoded = s3_keys(body)
    assert encoded is not None
    assert [unquote_plus(key) for key in encoded] == ODD
    assert [item.key for item in items_of(parse_event(body))] == ODD


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_both_readers_agree(keys: list[str]) -> None:
    body = json.dumps(s3_event(*keys)).encode()
    encoded = s3_keys(body)
    assert encoded is not None
    assert [unquote_plus(key) for key in encoded] == keys
    assert [item.key for item in items_of(parse_event(body))] == keys


def test_the_fast_reader_leaves_other_events_alone() -> None:
    mixed = {"Records": [s3_record("a"), {"messageId": "1", "body": "x"}]}
    others: tuple[object, ...] = (mixed, {"tasks": []}, [], "Records", {"Records": {"s3": 1}})
    for event in others:
        assert s3_keys(json.dumps(event).encode()) is None
    assert s3_keys(b'{"Records":[') is None


SNS = {"Type": "Notification", "Message": json.dumps(s3_event("a b"))}


@pytest.mark.parametrize(
    ("event", "items"),
    [
        (s3_event("a b"), [("a b", "a b")]),
        (
            {"Records": [{"messageId": "m1", "body": json.dumps(s3_event("a b", "c"))}]},
            [("a b", "m1"), ("c", "m1")],
        ),
        ({"Records": [{"messageId": "m1", "body": json.dumps(SNS)}]}, [("a b", "m1")]),
        ({"Records": [{"messageId": "m1", "body": "plain"}]}, [("m1", "m1")]),
        ({"Records": [{"messageId": "m1", "body": "3"}]}, [("m1", "m1")]),
        (
            {"Records": [{"Sns": {"Message": json.dumps(s3_event("a b")), "MessageId": "n"}}]},
            [("a b", "n")],
        ),
        ({"detail": {"object": {"key": "raw+key"}}}, [("raw+key", "raw+key")]),
        (
            {"tasks": [{"taskId": "t1", "s3Key": "a+b%2B"}]},
            [("a b+", "t1")],
        ),
        (
            {
                "Records": [
                    {
                        "kinesis": {
                            "data": base64.b64encode(b'{"key": "k"}').decode(),
                            "sequenceNumber": "49",
                        }
                    },
                    {"kinesis": {"data": "not base64", "sequenceNumber": "50"}},
                ]
            },
            [("k", "49"), ("50", "50")],
        ),
        (
            {"Records": [{"dynamodb": {"Keys": {"Id": {"N": "1"}}, "SequenceNumber": "7"}}]},
            [('{"Id":{"N":"1"}}', "7")],
        ),
        ({"Items": [{"Key": "a"}, "b"]}, [("a", "a"), ("b", "b")]),
        ([{"id": "a"}, {"n": 1}], [("a", "a"), ('{"n":1}', '{"n":1}')]),
        ({"key": "a"}, [("a", "a")]),
        ({}, []),
        (None, []),
        ({"Records": []}, []),
    ],
)
def test_items_of_every_shape(event: object, items: list[tuple[str, str]]) -> None:
    assert items_of(event) == [EventItem(*item) for item in items]


def test_an_empty_body_is_an_empty_event() -> None:
    assert parse_event(b" ") == {}
    with pytest.raises(ValueError, match="Expecting"):
        parse_event(b"{")
