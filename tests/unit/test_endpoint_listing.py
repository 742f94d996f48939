"""Pages add up to the listing that ListObjectsV2 defines, whatever their size."""

import re
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.endpoint import Bucket, S3Object
from stack.endpoint.listing import Generated, Objects, element, objects_of, page_of, spell

KEYS = st.lists(st.text("ab/é\U0001f600", min_size=1, max_size=6), unique=True, max_size=30)
PARTS = st.text("ab/é", max_size=2)


def listed(*keys: str) -> Objects:
    return objects_of(Bucket(objects=tuple(S3Object(key=key) for key in keys)))


def all_keys(objects: Objects, prefix: bytes, after: bytes, max_keys: int) -> list[bytes]:
    found: list[bytes] = []
    more = True
    while more:
        page, more = page_of(objects, prefix, after, max_keys)
        assert len(page) <= max_keys
        assert len(page) == max_keys or not more
        keys = [objects[index].key for index in page]
        found += keys
        after = keys[-1] if keys else after
    return found


@settings(deadline=None)
@given(keys=KEYS, prefix=PARTS, after=PARTS, max_keys=st.integers(1, 7))
def test_pages_add_up(keys: list[str], prefix: str, after: str, max_keys: int) -> None:
    found = all_keys(listed(*keys), prefix.encode(), after.encode(), max_keys)
    encoded = sorted(key.encode() for key in keys)
    assert found == [
        key for key in encoded if key.startswith(prefix.encode()) and key > after.encode()
    ]


@settings(deadline=None)
@given(
    count=st.integers(0, 60),
    prefix=st.sampled_from([b"", b"d", b"data/00000001", b"data/000000012.json", b"e"]),
    after=st.sampled_from([b"", b"a", b"data/000000005.json", b"data/00000001", b"z"]),
    max_keys=st.integers(1, 9),
)
def test_generated_objects_list_as_named_ones_do(
    count: int, prefix: bytes, after: bytes, max_keys: int
) -> None:
    named = listed(*(f"data/{number:09}.json" for number in range(count)))
    synthetic = Generated(count)
    assert all_keys(synthetic, prefix, after, max_keys) == all_keys(named, prefix, after, max_keys)


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"<(Key|LastModified|ETag|Size|StorageClass)>([^<]*)<", text))


def test_generated_times_rise_by_the_minute_for_30_days() -> None:
    objects = Generated(50_000)
    times = [fields(element(objects[number]))["LastModified"] for number in range(50_000)]
    assert times[0] == times[43_200] == "2024-01-01T00:00:00.000Z"
    assert times[61] == "2024-01-01T01:01:00.000Z"
    assert times[43_199] == "2024-01-30T23:59:00.000Z"
    assert times[:43_200] == sorted(set(times))


def test_the_last_of_ten_million_is_found_by_its_key() -> None:
    objects = Generated(10_000_000)
    assert objects[9_999_999].key == b"data/009999999.json"
    page = page_of(objects, b"data/0099999", b"", 1_000)
    assert page == (range(9_999_900, 10_000_000), False)


def test_a_page_of_no_keys_is_the_last() -> None:
    page, more = page_of(listed("a", "b"), b"", b"", 0)
    assert (len(page), more) == (0, False)


def test_an_element_has_every_field_of_an_object() -> None:
    one = S3Object(
        key="a<b",
        size=7,
        modified_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC),
        storage_class="DEEP_ARCHIVE",
    )
    assert fields(element(objects_of(Bucket(objects=(one,)))[0])) == {
        "Key": "a%3Cb",
        "LastModified": "2025-02-03T04:05:06.000Z",
        "ETag": "&quot;d41d8cd98f00b204e9800998ecf8427e&quot;",
        "Size": "7",
        "StorageClass": "DEEP_ARCHIVE",
    }


def test_keys_are_spelled_as_urls() -> None:
    assert spell("a/b\r\n c+%é".encode()) == "a/b%0D%0A+c%2B%25%C3%A9"
