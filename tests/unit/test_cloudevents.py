"""CloudEvents, read with the CloudEvents project's own library."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cloudevents.http import from_http, from_json
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.objects import pack
from retrofill.events import compile_shape
from retrofill.model.items import Item
from retrofill.model.payload import Payload

from tests.given import s3_context

CONTEXT = s3_context(
    bucket="photos", function_arn="https://f.example/resize", job="thumbnails 2019", run_id=12
)
WHEN = datetime(2019, 9, 3, 19, 37, 27, 192_000, tzinfo=UTC)
NAMES = ("cloudevents", "cloudevents-batch", "cloudevents-binary")

items = st.builds(
    Item,
    st.binary(min_size=16, max_size=16),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.builds(pack, st.integers(0, 5 * 2**40), st.just(WHEN), st.just("e"), st.sampled_from("v ")),
)


def item(key: str) -> Item:
    return Item(bytes(range(16)), key, pack(5, WHEN, "e", ""))


def payload(name: str, *some: Item) -> Payload:
    return compile_shape(name, CONTEXT).payload(some)


def read(sent: Payload) -> object:
    return from_http({"Content-Type": sent.content_type, **dict(sent.headers)}, sent.body)


@pytest.mark.parametrize("name", ["cloudevents", "cloudevents-binary"])
def test_one_event_as_the_library_reads_it(name: str):
    event = read(payload(name, item("in/a.jpg")))
    assert event.get_attributes() == {
        "specversion": "1.0",
        "id": str(UUID(bytes=bytes(range(16)))),
        "type": "retrofill.object",
        "source": "/retrofill/thumbnails%202019" if name == "cloudevents" else (
            "/retrofill/thumbnails%25202019"
        ),
        "subject": "in/a.jpg",
        "time": "2019-09-03T19:37:27.192Z",
        "datacontenttype": "application/json",
        "retrofillrun": 12 if name == "cloudevents" else "12",
    }  # fmt: skip
    assert event.get_data() == {
        "identifier": str(UUID(bytes=bytes(range(16)))), "bucket": "photos", "key": "in/a.jpg",
        "size": 5, "modified_at": "2019-09-03T19:37:27.192Z", "etag": "e", "version_id": None,
    }  # fmt: skip


def test_a_batch_is_a_list_of_events():
    sent = payload("cloudevents-batch", item("a"), item("b"))
    assert sent.content_type == "application/cloudevents-batch+json"
    events = [from_json(json.dumps(one)) for one in json.loads(sent.body)]
    assert [event.get_data()["key"] for event in events] == ["a", "b"]


@pytest.mark.parametrize("name", NAMES)
@given(one=items)
def test_any_key_makes_an_event_that_can_be_sent(name: str, one: Item):
    sent = payload(name, one)
    event = json.loads(sent.body)
    (event,) = event if isinstance(event, list) else (event,)
    assert event.get("data", event)["key"] == one.key
    values = [value for _, value in sent.headers]
    assert all(re.fullmatch(r"([\x21\x23\x24\x26-\x7e]|%[0-9A-F]{2})+", value) for value in values)
    if "subject" in event:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]", event["subject"])


def test_headers_are_percent_encoded_unless_ascii():
    sent = dict(payload("cloudevents-binary", item('Euro € 😀 "%"')).headers)
    # The example of the HTTP binding, 3.1.3.2.
    assert sent["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25%22"


def test_the_same_item_has_the_same_id_and_source():
    assert payload("cloudevents", item("a")) == payload("cloudevents", item("a"))
