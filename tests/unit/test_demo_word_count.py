import io
import json
from types import SimpleNamespace
from urllib.parse import quote_plus

import pytest

from demo.functions import word_count


class FakeS3:
    """A bucket's objects, and the objects written to it."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.put: dict[str, dict[str, object]] = {}

    def get_object(self, *, Bucket: str, Key: str):  # noqa: N803  as boto3 has it
        assert Bucket == "photos"
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes):  # noqa: N803
        assert Bucket == "counts"
        self.put[Key] = json.loads(Body)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    fake = FakeS3({"a b+c/100%/é\n.txt": b"one two\nthree"})
    monkeypatch.setattr(word_count, "_s3", fake)
    monkeypatch.setenv("OUTPUT_BUCKET", "counts")
    return fake


def event(key: str):
    encoded = quote_plus(key, safe="/")
    return {"Records": [{"s3": {"bucket": {"name": "photos"}, "object": {"key": encoded}}}]}


def test_each_call_leaves_an_output_of_its_own(s3: FakeS3):
    key = next(iter(s3.objects))
    for request_id in ("r1", "r2"):
        word_count.handler(event(key), SimpleNamespace(aws_request_id=request_id))
    folder = word_count.output_folder(key)
    summary = {"key": key, "lines": 1, "words": 3, "bytes": 13}
    assert s3.put == {f"{folder}/r1.json": summary, f"{folder}/r2.json": summary}


def test_the_test_event_of_a_new_trigger_writes_nothing(s3: FakeS3):
    word_count.handler({"Event": "s3:TestEvent"}, SimpleNamespace(aws_request_id="r1"))
    assert s3.put == {}


def test_an_empty_text_has_no_lines_words_or_bytes():
    assert word_count.count(b"") == {"lines": 0, "words": 0, "bytes": 0}
