"""The first calls of a batch."""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.objects import pack
from retrofill.engine import first_calls as first_calls_module
from retrofill.events import SHAPES, CompiledShape, compile_shape
from retrofill.functions.aws_lambda import MAX_REQUEST_BYTES
from retrofill.model.calls import Call, Entry, History, Loaded
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item, ItemColumns

from tests.given import s3_context

first_calls = partial(first_calls_module.first_calls, max_bytes=MAX_REQUEST_BYTES)
CONTEXT = s3_context(
    bucket="photos",
    configuration_id="c",
    function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
    job="j",
    run_id=1,
    queue_arn="arn:aws:sqs:eu-west-1:123456789012:q",
    topic_arn="arn:aws:sns:eu-west-1:123456789012:t",
)
STREAMS = {
    "kinesis": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
    "dynamodb": "arn:aws:dynamodb:eu-west-1:123456789012:table/T/stream/2026-01-02T00:00:00.000",
}


def compiled(name: str) -> CompiledShape:
    return compile_shape(
        name, replace(CONTEXT, place={**CONTEXT.place, "stream": STREAMS.get(name, "")})
    )


def content_of(name: str, number: int, text: str = "x") -> str:
    """Return the content that a shape needs."""
    if not SHAPES[name].content:
        return pack(number, datetime(2026, 1, 2, tzinfo=UTC), text, "")
    row = {"Id": {"N": str(number)}, "Text": {"S": text}}
    contents: dict[str, Any] = {
        "body": f"{text}{number}",
        "shardId": "shardId-000000000006",
        "partitionKey": text,
        "sequenceNumber": str(number),
        "data": b64encode(f"{text}{number}".encode()).decode(),
        "Keys": {"Id": {"N": str(number)}},
        "NewImage": row,
        "SentTimestamp": "1767312000000",
        "approximateArrivalTimestamp": 1767312000.0,
        "SizeBytes": number,
        "ApproximateCreationDateTime": 1767312000.0,
    }
    return json.dumps({field: contents[field] for field in SHAPES[name].content})


@pytest.fixture
def shape() -> CompiledShape:
    return compile_shape("s3", CONTEXT)


def item(number: int, key: str = "") -> Item:
    content = pack(number, datetime(2026, 1, 2, tzinfo=UTC), "e", "")
    return Item(bytes([number]) * 16, key or f"k{number}", content)


def loaded(count: int, histories: dict[int, History] | None = None) -> Loaded:
    return Loaded(range(10, 10 + count), [item(number) for number in range(count)], histories or {})


def seqs(call: Call) -> list[int]:
    return [entry.seq for entry in call.entries]


def test_fresh_items_are_packed_in_order_and_wait_for_nothing(shape: CompiledShape) -> None:
    calls = first_calls(loaded(7), shape, 3)
    assert [(seqs(call), call.attempt, delay_s) for call, delay_s in calls] == [
        ([10, 11, 12], 1, 0.0),
        ([13, 14, 15], 1, 0.0),
        ([16], 1, 0.0),
    ]
    records = json.loads(shape.body(calls[0][0].items))["Records"]
    assert [record["s3"]["object"]["key"] for record in records] == ["k0", "k1", "k2"]


def test_retried_items_keep_their_history_and_delay_no_others(shape: CompiledShape) -> None:
    failed = History(attempts=2, failures=1, call_cap=1, unsure=True, blamed=True, delay_s=0.0)
    waiting = History(
        attempts=1, failures=0, call_cap=None, unsure=False, blamed=False, delay_s=9.0
    )
    histories = {11: failed, 13: waiting}
    calls = first_calls(loaded(5, histories), shape, 10)
    assert [(seqs(call), call.attempt, delay_s) for call, delay_s in calls] == [
        ([10, 12, 14], 1, 0.0),
        ([11], 3, 0.0),
        ([13], 2, 9.0),
    ]
    (entry,) = calls[1][0].entries
    assert (entry.attempts, entry.failures, entry.call_cap, entry.unsure) == (2, 1, 1, True)
    assert calls[1][0].duplicates == 1
    assert calls[2][0].duplicates == 0


def test_an_item_that_fits_in_no_call_is_sent_alone(shape: CompiledShape) -> None:
    large = item(1, "\x7f" * MAX_REQUEST_BYTES)
    calls = first_calls(Loaded(range(3), [item(0), large, item(2)], {}), shape, 10)
    assert sorted(map(seqs, (call for call, _ in calls))) == [[0], [1], [2]]


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].max_items > 1])
def test_calls_are_filled_to_the_limit_of_the_encoded_payload_and_not_beyond(name: str) -> None:
    shape = compiled(name)
    # Quotes and control characters grow when encoded, and again in each envelope.
    text = '"\x01é' * 150
    items = [
        item(number % 200, f"{text}{number:05}")._replace(content=content_of(name, number, text))
        for number in range(6_000)
    ]
    calls = [call for call, _ in first_calls(Loaded(range(6_000), items, {}), shape, 10_000)]
    sizes = [len(shape.body(call.items)) for call in calls]
    assert max(sizes) <= MAX_REQUEST_BYTES
    assert len(calls) > 1
    for call, following, size in zip(calls, calls[1:], sizes, strict=False):
        assert size + 1 + len(shape.record(following.items[0])) > MAX_REQUEST_BYTES, len(
            call.entries
        )
    assert sum(len(call.entries) for call in calls) == 6_000


@pytest.mark.parametrize(
    "histories", [{}, {12: History(1, 0, None, unsure=False, blamed=False, delay_s=0.0)}]
)
@pytest.mark.parametrize("as_loaded", [list, ItemColumns.of])
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_packed_and_written(
    name: str,
    as_loaded: Callable[[Sequence[Item]], Sequence[Item]],
    histories: dict[int, History],
) -> None:
    shape = compiled(name)
    items = [item(number)._replace(content=content_of(name, number)) for number in range(5)]
    calls = first_calls(Loaded(range(10, 15), as_loaded(items), histories), shape, 3)
    packed = [(entry.seq, entry.item) for call, _ in calls for entry in call.entries]
    assert sorted(packed) == list(enumerate(items, 10))
    for call, _ in calls:
        assert 1 <= len(call.entries) <= min(3, shape.max_items)
        body = shape.body(call.items)
        json.loads(body)
        for entry in call.entries:
            assert shape.record(entry.item).encode() in body


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.content])
def test_items_without_required_content_are_not_packed(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the shape {name} needs"):
        first_calls(loaded(3), compiled(name), 3)


def test_an_empty_batch_has_no_calls(shape: CompiledShape) -> None:
    assert first_calls(loaded(0), shape, 10) == []


@given(st.sets(st.integers(1, 50), min_size=1))
def test_fresh_entries_equal_a_list_of_entries(numbers: set[int]) -> None:
    order = sorted(numbers)
    items = [item(number) for number in order]
    fresh = Call(order, items)
    entries = list(map(Entry, order, items))
    listed = Call.of(entries)
    assert (fresh.spans, fresh.items) == (listed.spans, listed.items)
    assert not fresh.has_entries
    assert fresh.entries == entries
    assert fresh.entries[0] is fresh.entries[0], "a change to an entry stays with it"
