"""Finding the items in events of every shape."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint.event_items import bytes_of, keys_of


def s3_event(*keys: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "s3": {
                    "bucket": {"name": 'b","object":{"key":"not this'},
                    "object": {"key": quote_plus(key, safe="/"), "size": 1},
                },
            }
            for key in keys
        ]
    }


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_s3_keys_are_decoded(keys: list[str]) -> None:
    assert keys_of(json.dumps(s3_event(*keys)).encode()) == keys


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (s3_event("a b", "c", "a b"), ["a b", "c", "a b"]),
        ({"detail": {"object": {"key": "raw+key"}}}, ["raw+key"]),
        ({"tasks": [{"taskId": "t1", "s3Key": "a+b%2B"}]}, ["a b+"]),
        ({"items": [{"identifier": "1", "key": "a+b"}, "b"]}, ["a+b", "b"]),
        ({"Records": [{"messageId": "1", "body": "x"}]}, []),
        ({"Records": []}, []),
        ({}, []),
        ([], []),
        ("Records", []),
        (None, []),
    ],
)
def test_keys_of_every_shape(event: object, keys: list[str]) -> None:
    assert keys_of(json.dumps(event).encode()) == keys


def test_an_empty_body_is_an_empty_event() -> None:
    assert keys_of(b" ") == []
    with pytest.raises(ValueError, match="Could not parse request body into json"):
        keys_of(b"{")


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (s3_event("a", "b"), 2),
        ({"detail": {"object": {"key": "k", "size": 70}}}, 70),
        ({"items": [{"key": "a", "size": 3}, {"key": "b"}, {"key": "c", "size": "x"}, "d"]}, 3),
        ({"tasks": [{"s3Key": "a"}]}, 0),
        ({"Records": [{"body": "x"}]}, 0),
    ],
)
def test_the_sizes_of_an_events_objects_are_summed(event: object, size: int) -> None:
    assert bytes_of(json.dumps(event).encode()) == size


def test_other_payloads_have_no_size() -> None:
    assert bytes_of(b"{") == 0
