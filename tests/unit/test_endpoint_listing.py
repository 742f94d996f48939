"""Pages, put together, are what ListObjectsV2's rules say, however they are cut."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint.buckets import GeneratedObjects, S3Object
from stack.endpoint.listing import (
    InvalidTokenError,
    ListedObjects,
    MadeUpObjects,
    Objects,
    generated_object,
    index_after_key,
    index_of_token,
    page_of,
    spell,
)

KEYS = st.lists(st.text("ab/é\U0001f600", min_size=1, max_size=6), unique=True, max_size=30)
PARTS = st.text("ab/é", max_size=2)


def listed(keys: list[str]) -> ListedObjects:
    return ListedObjects([S3Object(key=key) for key in keys])


def expected(keys: list[str], prefix: str, delimiter: str, after: str) -> list[bytes]:
    """Roll up, one by one, what the documentation says."""
    found: dict[bytes, None] = {}
    for key in sorted(key.encode() for key in keys):
        if not key.startswith(prefix.encode()) or key <= after.encode():
            continue
        entry = key
        if delimiter and delimiter.encode() in key[len(prefix.encode()) :]:
            rest = key[len(prefix.encode()) :]
            rolled = rest[: rest.index(delimiter.encode()) + len(delimiter.encode())]
            entry = prefix.encode() + rolled
            if entry == after.encode():
                continue
        found[entry] = None
    return list(found)


def all_entries(
    objects: Objects, prefix: str, delimiter: str, after: str, max_keys: int
) -> list[bytes]:
    lead, cut = prefix.encode(), delimiter.encode()
    start = index_after_key(objects, lead, cut, after.encode()) if after else 0
    entries: list[bytes] = []
    while True:
        page = page_of(objects, lead, cut, start, max_keys)
        found = sorted([objects.key(index) for index in page.indexes] + page.common_prefixes)
        assert len(found) <= max_keys
        entries += found
        if not page.next_token:
            return entries
        assert len(found) == max_keys
        assert page.last_entry == found[-1]
        start = index_of_token(objects, page.next_token)


@settings(deadline=None)
@given(keys=KEYS, prefix=PARTS, delimiter=PARTS, after=PARTS, max_keys=st.integers(1, 7))
def test_pages_add_up(
    keys: list[str], prefix: str, delimiter: str, after: str, max_keys: int
) -> None:
    entries = all_entries(listed(keys), prefix, delimiter, after, max_keys)
    assert entries == expected(keys, prefix, delimiter, after)


@settings(deadline=None)
@given(
    count=st.integers(0, 60),
    prefix=st.sampled_from(["", "d", "d/01", "d/01/0000", "d/01/000012.x", "e"]),
    delimiter=st.sampled_from(["", "/", "2", "."]),
    after=st.sampled_from(["", "a", "d/00/000005.x", "d/01/", "d/02", "z"]),
    max_keys=st.integers(1, 9),
)
def test_made_up_objects_list_as_named_ones_do(
    count: int, prefix: str, delimiter: str, after: str, max_keys: int
) -> None:
    generated = GeneratedObjects(count=count, pattern="d/{folder:02d}/{i:06d}.x", folder_size=10)
    named = ListedObjects([generated_object(generated, i) for i in range(count)])
    made_up = MadeUpObjects(generated)
    entries = all_entries(made_up, prefix, delimiter, after, max_keys)
    assert entries == all_entries(named, prefix, delimiter, after, max_keys)
    indexes = range(count)
    for encoded in (False, True):
        assert made_up.elements(indexes, encoded=encoded) == named.elements(
            indexes, encoded=encoded
        )


def test_made_up_times_rise_by_the_minute_for_30_days() -> None:
    generated = GeneratedObjects(count=50_000)
    named = ListedObjects([generated_object(generated, i) for i in range(0, 50_000, 59)])
    texts = MadeUpObjects(generated).elements(range(0, 50_000, 59), encoded=True)
    assert texts == named.elements(range(len(named)), encoded=True)
    assert (
        "2024-01-30T23:59:00.000Z" in MadeUpObjects(generated).elements([43_199], encoded=True)[0]
    )


def test_a_pattern_may_need_encoding() -> None:
    generated = GeneratedObjects(count=2, pattern="a b+&{i:03d}")
    texts = MadeUpObjects(generated).elements([1], encoded=True)
    assert "<Key>a+b%2B%26001</Key>" in texts[0]
    assert "<Key>a b+&amp;001</Key>" in MadeUpObjects(generated).elements([1], encoded=False)[0]


def test_the_last_of_ten_million_is_found_by_its_key() -> None:
    objects = MadeUpObjects(GeneratedObjects(count=10_000_000))
    assert objects.index_from(b"data/009999999.json") == 9_999_999
    page = page_of(objects, b"data/0099999", b"", 0)
    assert list(page.indexes) == list(range(9_999_900, 10_000_000))
    page = page_of(objects, b"", b"/", 0)
    assert page.common_prefixes == [b"data/"]
    assert not page.next_token


def test_a_page_of_no_keys_is_the_last() -> None:
    for delimiter in (b"", b"/"):
        page = page_of(listed(["a", "b"]), b"", delimiter, 0, 0)
        assert (list(page.indexes), page.common_prefixes, page.next_token) == ([], [], "")


@pytest.mark.parametrize("token", ["x", "!", "eHl6", "", "é"])
def test_a_token_that_no_page_gave_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        index_of_token(listed(["a"]), token)


def test_a_token_outlives_the_object_it_was_made_from() -> None:
    before, after = listed(["a", "b", "c", "d"]), listed(["a", "bb", "c"])
    token = page_of(before, b"", b"", 0, 2).next_token
    assert after.key(index_of_token(after, token)) == b"bb"


def test_an_element_tells_all_of_an_object() -> None:
    one = S3Object(
        key="a<b",
        size=7,
        etag="abc-2",
        modified_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC),
        storage_class="DEEP_ARCHIVE",
    )
    text = ListedObjects([one]).elements([0], encoded=False)[0]
    found = re.findall(r"<(Key|LastModified|ETag|Size|StorageClass)>([^<]*)<", text)
    assert dict(found) == {
        "Key": "a&lt;b",
        "LastModified": "2025-02-03T04:05:06.000Z",
        "ETag": "&quot;abc-2&quot;",
        "Size": "7",
        "StorageClass": "DEEP_ARCHIVE",
    }


def test_keys_are_spelled_for_xml() -> None:
    assert spell("a\r\n\t<&> \x01+é", encoded=False) == "a&#xd;\n\t&lt;&amp;&gt; &#x1;+é"
    assert spell("a/b\r\n c+%é", encoded=True) == "a/b%0D%0A+c%2B%25%C3%A9"
