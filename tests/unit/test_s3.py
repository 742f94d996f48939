"""The S3 source: it lists each key once and unchanged, counts skipped ones, and explains errors."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st
from retrofill.aws.objects import pack, unpack
from retrofill.config import params_for
from retrofill.engine.identity import identifier_of
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.items import Item
from retrofill.model.runs import Window
from retrofill.sources import Page, Partition
from retrofill.sources.s3 import keyspace
from retrofill.sources.s3 import source as s3
from retrofill.sources.s3.rows import read_rows
from retrofill.sources.s3.source import Filter, S3Source

from tests.given import s3_source
from tests.unit.fake_bucket import FakeBucket, Listed

_ALWAYS = Window(after=None, before=None)
_ODD_KEYS = [
    " leading and trailing ",
    "a/../b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "tab\tline\nreturn\r",
    "<&>'\"",
    "e\u0301 \u00e9",
    "\u202eright to left",
    "🦆" * 256,
    "k" * 1_024,
    "\U0010ffff",
    "\x01\x7f",
    "folder/",
]


def _source(bucket: FakeBucket, prefix: str = "", **filters: Any) -> S3Source:
    more = {"versions": False} | {
        name: filters.pop(name) for name in ("versions", "passes") if name in filters
    }
    wanted = Filter(**{"window": _ALWAYS, **filters})
    return S3Source(bucket.client(), bucket="b", prefix=prefix, wanted=wanted, **more)


def _all_pages(source: S3Source, limit: int = 16) -> list[Page]:
    return [page for part in source.partitions(limit) for page in source.pages(part)]


def _keys(pages: list[Page]) -> list[str]:
    return [item.key for page in pages for item in page.items]


# Divide from three keys on, so that small sets of keys take every path.
_TINY = {(s3, "PEEK_KEYS"): 3, (keyspace, "KEYS_WORTH_A_RANGE"): 2}


@settings(deadline=None)
@given(
    keys=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
        | st.text("ab/01+% \n", min_size=1, max_size=6)
        | st.sampled_from(_ODD_KEYS),
        unique=True,
        max_size=40,
    ),
    prefix=st.sampled_from(["", "", "a", "a/", "0"]),
    limit=st.integers(1, 9),
    page=st.integers(3, 12),
    stop_after=st.integers(0, 9),
)
def test_partitions_hold_every_key_once(
    keys: list[str], prefix: str, limit: int, page: int, stop_after: int
):
    source = _source(FakeBucket.of(keys, page=page), prefix)
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in _TINY.items():
            patch.setattr(module, name, value)
        partitions = source.partitions(limit)
    pages: list[Page] = []
    for partition in partitions:
        there = sum(page.seen for page in source.pages(partition))
        assert (partition.seen or 0) <= there
        cursor = None
        # A reader that stops now and then, and continues at its stored cursor.
        for number, one in enumerate(source.pages(partition)):
            pages.append(one)
            cursor = one.cursor
            if number == stop_after:
                break
        pages += source.pages(partition, cursor)
    wanted = sorted(key for key in keys if key.startswith(prefix))
    assert [part.number for part in partitions] == list(range(len(partitions)))
    assert len(partitions) <= limit
    assert _keys(pages) == [key for key in wanted if "\0" not in key]
    assert sum(one.seen for one in pages) == len(wanted)
    rejected = [one.left_out.get("rejected", 0) for one in pages]
    assert sum(rejected) == sum("\0" in key for key in wanted)
    assert all("\0" not in one.cursor for one in pages)


def test_the_cursor_of_any_key_can_be_stored():
    keys = ["a", *(f"b\0{number}" for number in range(7)), "c", "d", *(f"e\0{n}" for n in range(4))]
    source = _source(FakeBucket.of(keys, page=3))
    [whole] = source.partitions(1)
    for end in (None, "e", "ez"):
        part = whole._replace(description={"after": "", "end": end})
        pages = list(source.pages(part))
        assert all("\0" not in page.cursor for page in pages)
        listed = [key for key in keys if end is None or key <= end]
        assert sum(page.seen for page in pages) == len(listed)
        seen = 0
        for page in pages:
            seen += page.seen
            rest = list(source.pages(part, page.cursor))
            assert sum(one.seen for one in rest) == len(listed) - seen


def test_an_item_has_the_facts_of_the_listing():
    entry = Listed("photos/a b+c.jpg", size=7, modified="2026-05-06T07:08:09.010Z", etag='"abc-2"')
    [page] = _all_pages(_source(FakeBucket([entry])))
    assert page.items == [
        Item(
            identifier_of("s3://b")("photos/a b+c.jpg", "abc-2"),
            "photos/a b+c.jpg",
            pack(7, datetime(2026, 5, 6, 7, 8, 9, 10_000, tzinfo=UTC), "abc-2", ""),
        )
    ]
    assert isinstance(page.items[0], Item)
    assert json.loads(page.cursor) == "photos/a b+c.jpg"


def test_pages_follow_the_last_key_and_never_a_token():
    bucket = FakeBucket.of([f"{number:04}" for number in range(2_500)])
    source = _source(bucket)
    [partition] = source.partitions(16)
    bucket.asked.clear()
    pages = list(source.pages(partition))
    assert [page.seen for page in pages] == [1_000, 1_000, 500]
    assert [asked.get("start-after") for asked in bucket.asked] == [None, "0999", "1999"]
    assert not any("continuation-token" in asked for asked in bucket.asked)


def test_no_page_is_requested_after_the_end_of_a_partition():
    bucket = FakeBucket.of([f"{number:04}" for number in range(2_500)])
    whole = Partition(0, "", {"after": "", "end": "0999"})
    assert [page.seen for page in _source(bucket).pages(whole)] == [1_000]
    assert len(bucket.asked) == 1
    assert list(_source(bucket).pages(whole, json.dumps("0999"))) == []
    assert len(bucket.asked) == 1


def test_a_partition_continues_after_a_cursor():
    source = _source(FakeBucket.of("abcdef"))
    [partition] = source.partitions(1)
    assert _keys(list(source.pages(partition, json.dumps("c")))) == ["d", "e", "f"]


def test_one_page_of_keys_is_one_partition_and_takes_one_request():
    bucket = FakeBucket.of([f"{number:04}" for number in range(1_000)])
    assert len(_source(bucket).partitions(16)) == 1
    assert len(bucket.asked) == 1


@pytest.mark.parametrize("count", [0, 1, 999, 1_000])
def test_all_keys_of_a_page_are_seen_before_filters(count: int):
    source = _source(FakeBucket.of([f"{number:04}" for number in range(count)]), key_glob="none")
    assert [part.seen for part in source.partitions(16)] == [count]
    assert source.check() == bool(count)


def test_a_flat_prefix_of_many_keys_is_divided():
    bucket = FakeBucket.of([f"flat/img_{number:07}" for number in range(100_000)])
    source = _source(bucket, "flat/")
    partitions = source.partitions(16)
    looks = bucket.asked[1:]
    assert all(100 <= (part.seen or 0) <= 1_000 + 100 * len(looks) for part in partitions)
    assert sum(part.seen or 0 for part in partitions) <= 1_000 + 100 * len(looks)
    assert len(partitions) == 5
    assert partitions[0].label.startswith("the first key to flat/img_00")
    assert partitions[-1].label.endswith("to the last key")
    listed = [sum(page.seen for page in source.pages(part)) for part in partitions]
    assert sum(listed) == 100_000
    assert max(listed) <= 30_000


def test_an_object_created_during_the_listing_disturbs_nothing():
    bucket = FakeBucket.of([f"{number:04}" for number in range(0, 6_000, 2)], page=500)
    source = _source(bucket)
    [partition] = source.partitions(1)
    seen: list[str] = []
    for page in source.pages(partition):
        seen += [item.key for item in page.items]
        last = int(json.loads(page.cursor))
        added = [Listed(f"{last - 1:04}"), Listed(f"{last + 301:04}")]
        gone = last - 8
        kept = [entry for entry in bucket.entries if int(entry.key) != gone]
        bucket.entries = sorted([*kept, *added], key=lambda entry: entry.key)
    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"{number:04}" for number in range(0, 6_000, 2)}


def test_a_prefix_without_objects_has_no_page():
    assert _all_pages(_source(FakeBucket.of(["other"]), "none/")) == []


def test_the_placeholder_of_a_folder_is_an_object():
    pages = _all_pages(_source(FakeBucket([Listed("folder/", size=0), Listed("folder/a")])))
    assert _keys(pages) == ["folder/", "folder/a"]


def test_archived_objects_are_counted_and_not_returned():
    classes = ["STANDARD", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "INTELLIGENT_TIERING"]
    bucket = FakeBucket(Listed(name, storage_class=name) for name in classes)
    [page] = _all_pages(_source(bucket))
    assert _keys([page]) == ["GLACIER_IR", "INTELLIGENT_TIERING", "STANDARD"]
    assert (page.seen, page.left_out) == (5, {"archived": 2})


@pytest.mark.parametrize("more", [{}, {"version": "v"}])
def test_a_restored_object_is_an_item_and_one_being_restored_is_counted_separately(
    more: dict[str, str],
):
    bucket = FakeBucket(
        Listed(f"{kept}-{restoring}", storage_class=kept, restoring=restoring, **more)
        for kept in ("GLACIER", "DEEP_ARCHIVE")
        for restoring in ("", "true", "false")
    )
    [page] = _all_pages(_source(bucket, versions=bool(more)))
    assert _keys([page]) == ["DEEP_ARCHIVE-false", "GLACIER-false"]
    assert (page.seen, page.left_out) == (6, {"archived": 2, "restoring": 2})
    assert bucket.sent_headers["x-amz-optional-object-attributes"] == b"RestoreStatus"


def test_a_key_of_another_prefix_refuses_the_listing():
    bucket = FakeBucket.of([*(f"in/{number:03}" for number in range(s3.PEEK_KEYS)), "out/a"])
    bucket.knows_prefix = False
    source = _source(bucket, "in/")
    assert source.check()
    with pytest.raises(UnfitSource, match="the server lists 'out/a'"):
        next(source.pages(Partition(0, "", {})))


def test_an_unreadable_key_must_begin_with_the_prefix():
    bucket = FakeBucket.of(["in/a", "in/\udcff", "out/\udcff"])
    bucket.knows_prefix = False
    with pytest.raises(ConfigError, match="the server lists 'out/%FF'"):
        _source(bucket, "in/").check()


@pytest.mark.parametrize(
    ("spell", "prefix", "key", "read"),
    [
        (str, "in/a+b/", "in/a+b/c%20d", "'in/a+b/c%20d' and 'in/a b/c d'"),
        (partial(quote, safe=""), "in/a/", "in/a/b", "'in%2Fa%2Fb' and 'in/a/b'"),
    ],
)
def test_a_server_with_the_wrong_key_encoding_is_refused_with_both_readings(
    spell: Callable[[str], str], prefix: str, key: str, read: str
):
    bucket = FakeBucket.of([key])
    bucket.spell, bucket.says_encoded = spell, spell is str
    source = _source(bucket, prefix)
    with pytest.raises(ConfigError, match=f"readings are {re.escape(read)}"):
        source.check()
    with pytest.raises(UnfitSource, match=f"readings are {re.escape(read)}"):
        next(source.pages(Partition(0, "", {})))


def test_the_requester_pays_only_if_asked_to():
    bucket = FakeBucket.of(["a"])
    for pays in (True, False):
        client = bucket.client()
        client.meta.events.unregister("before-call.s3", unique_id="retrofill-payer")
        config = params_for("s3").config(
            {"bucket": "my-bucket", "prefix": "a", "function": "f", "requester_pays": pays}
        )
        s3_source(config, client).check()
        assert bucket.sent_headers.get("x-amz-request-payer") == (b"requester" if pays else None)


def test_filtered_objects_are_not_counted_as_archived():
    bucket = FakeBucket([Listed("a.txt", storage_class="GLACIER"), Listed("b.jpg")])
    [page] = _all_pages(_source(bucket, key_glob="*.jpg"))
    assert (page.seen, page.left_out) == (2, {"filtered": 1})


def test_objects_that_the_live_trigger_would_not_send_are_filtered():
    bucket = FakeBucket(
        Listed(f"{kind}{ending}", storage_class=storage_class)
        for kind, storage_class in [("warm", "STANDARD"), ("cold", "GLACIER"), ("\0", "STANDARD")]
        for ending in (".jpg", ".txt")
    )
    [page] = _all_pages(_source(bucket, passes=lambda item: item.key.endswith(".jpg")))
    assert _keys([page]) == ["warm.jpg"]
    assert page.seen == 6
    assert page.left_out == {"filtered": 3, "archived": 1, "rejected": 1}


@pytest.mark.parametrize(
    ("glob", "kept"),
    [
        ("*.jpg", ["a/b.jpg", "c.jpg"]),
        ("*.jpg|*.PNG", ["a/b.jpg", "c.jpg", "d.PNG"]),
        ("?.???", ["c.jpg", "d.PNG"]),
        ("[cd].*", ["c.jpg", "d.PNG"]),
        ("a/*", ["a/b.jpg"]),
        ("*new*", ["new\nline.txt"]),
        ("jpg", []),
    ],
)
def test_key_patterns(glob: str, kept: list[str]):
    bucket = FakeBucket.of(["a/b.jpg", "c.jpg", "d.PNG", "new\nline.txt"])
    [page] = _all_pages(_source(bucket, key_glob=glob))
    assert _keys([page]) == kept
    assert page.left_out.get("filtered", 0) == 4 - len(kept)


def test_sizes_are_inclusive():
    bucket = FakeBucket(Listed(f"{size}", size=size) for size in range(5))
    assert _keys(_all_pages(_source(bucket, min_size=1, max_size=3))) == ["1", "2", "3"]


def test_a_window_includes_its_start_and_excludes_its_end():
    bucket = FakeBucket(
        Listed(f"{second}", modified=f"2026-01-01T00:00:0{second}.000Z") for second in range(5)
    )
    window = Window(
        after=datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
        before=datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC),
    )
    assert _keys(_all_pages(_source(bucket, window=window))) == ["1", "2"]


_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def test_objects_modified_after_the_run_opened_are_counted_separately():
    bucket = FakeBucket(
        Listed(f"{second}{ending}", modified=f"2026-01-01T00:00:0{second}.000Z")
        for second in range(4)
        for ending in (".jpg", ".txt")
    )
    window = Window(after=None, before=None, opened=_DAY.replace(second=2))
    [page] = _all_pages(_source(bucket, window=window, key_glob="*.jpg"))
    assert _keys([page]) == ["0.jpg", "1.jpg", "2.jpg"]
    assert page.left_out == {"later": 1, "filtered": 4}
    assert [item.key for item in page.later] == ["3.jpg"]
    for_an_interval = replace(window, start=_DAY)
    [page] = _all_pages(_source(bucket, window=for_an_interval, key_glob="*.jpg"))
    assert _keys([page]) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"], (
        "no other run may see the last one"
    )


def test_objects_older_than_the_interval_are_reported():
    bucket = FakeBucket(
        Listed(f"{hour:02}", modified=f"2026-01-01T{hour:02}:00:00.000Z") for hour in range(4)
    )
    window = Window(after=_DAY.replace(hour=1), before=None, start=_DAY.replace(hour=3))
    [page] = _all_pages(_source(bucket, window=window))
    assert _keys([page]) == ["01", "02", "03"]
    assert page.late == {item.identifier for item in page.items[:2]}
    window = Window(after=_DAY, before=None)
    assert [page.late for page in _all_pages(_source(bucket, window=window))] == [frozenset()]


def test_the_latest_versions_are_listed_with_their_ids():
    bucket = FakeBucket(
        [
            Listed("a", version="v2"),
            Listed("a", version="v1", latest="false"),
            Listed("deleted", version="v4", deleted=True),
            Listed("deleted", version="v3", latest="false"),
            Listed("older than versioning", version="null", etag='"abc"'),
        ]
    )
    [page] = _all_pages(_source(bucket, versions=True))
    identifier = identifier_of("s3://b")
    found = [(item.key, unpack(item.content).version_id, item.identifier) for item in page.items]
    assert found == [
        ("a", "v2", identifier("a", "v2")),
        ("older than versioning", "", identifier("older than versioning", "abc")),
    ]
    assert page.seen == 2


def test_pages_of_deleted_objects_alone_do_not_end_the_listing():
    deleted = [Listed(f"a{number}", version="v", deleted=True) for number in range(7)]
    bucket = FakeBucket([*deleted, Listed("b", version="v")], page=3)
    assert _keys(_all_pages(_source(bucket, versions=True))) == ["b"]
    assert "key-marker" in bucket.asked[-1]


def test_old_versions_do_not_change_how_a_bucket_is_divided(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keyspace, "KEYS_WORTH_A_RANGE", 400)
    keys = [f"{number:04}" for number in range(2_000)]
    newest = [Listed(key, version="v9") for key in keys]
    older = [
        Listed(key, version=f"v{number}", latest="false") for key in keys for number in range(3)
    ]
    plain = _source(FakeBucket.of(keys)).partitions(5)
    assert len(plain) == 5
    bucket = FakeBucket([*newest, *older])
    assert len(_source(bucket, versions=True).partitions(5)) == 5


_UNREADABLE = [
    pytest.param(Listed("b\udcff"), id="a key that is not UTF-8"),
    pytest.param(Listed("b", modified="yesterday"), id="a time that cannot be read"),
    pytest.param(Listed("b", modified=""), id="no time"),
    pytest.param(Listed("b", modified="0001-01-01T00:00:00Z"), id="a time too early"),
]


@pytest.mark.parametrize("odd", _UNREADABLE)
@pytest.mark.parametrize("page", [1, 2, 3, 1_000])
def test_only_the_unreadable_object_is_rejected(odd: Listed, page: int):
    bucket = FakeBucket([Listed("a"), odd, Listed("c"), Listed("d")], page=page)
    if page == 1:
        # It is unknown after which key the next page begins.
        with pytest.raises(SourceError):
            _all_pages(_source(bucket))
        return
    pages = _all_pages(_source(bucket))
    assert _keys(pages) == ["a", "c", "d"]
    assert sum((Counter(one.left_out) for one in pages), Counter()) == {"rejected": 1}


@pytest.mark.parametrize("end", ["a", "b", "c"])
def test_an_unreadable_object_counts_in_its_one_partition(end: str):
    bucket = FakeBucket([Listed("a"), Listed("b\udcff"), Listed("c")])
    source = _source(bucket)
    parts = [
        Partition(0, "", {"after": "", "end": end}),
        Partition(1, "", {"after": end, "end": None}),
    ]
    left_out = [page.left_out for part in parts for page in source.pages(part)]
    assert sum(map(Counter, left_out), Counter()) == {"rejected": 1}


def test_a_bucket_of_unreadable_objects_counts_them():
    source = _source(FakeBucket([Listed("b\udcff")]))
    seen = [part.seen for part in source.partitions(5)]
    assert (source.check(), seen) == (False, [0]), "otherwise its survey would have to show some"
    [page] = _all_pages(source)
    assert (page.items, page.left_out) == ([], {"rejected": 1})


def test_a_response_without_any_readable_object_is_not_a_listing():
    with pytest.raises(SourceError, match="not a listing"):
        _all_pages(_source(FakeBucket([Listed("a", modified=""), Listed("b", modified="")])))


def test_other_users_of_the_client_notice_nothing():
    bucket = FakeBucket.of(["a b", "c+d"])
    client = bucket.client()
    wanted = Filter(window=_ALWAYS)
    S3Source(client, bucket="b", prefix="", wanted=wanted, versions=False).partitions(1)
    contents = client.list_objects_v2(Bucket="b", Prefix="", MaxKeys=1000)["Contents"]
    assert [entry["Key"] for entry in contents] == ["a b", "c+d"]


def test_open_source_takes_all_from_the_configuration():
    bucket = FakeBucket([Listed("p/a.jpg", size=5), Listed("p/b.jpg"), Listed("p/c.txt", size=5)])
    config = params_for("s3").config(
        {"bucket": "my-bucket", "prefix": "p/", "function": "f", "key_glob": "*.jpg", "min_size": 5}
    )
    source = s3_source(config, bucket.client())
    source.check()
    [partition] = source.partitions(1)
    assert source.name == "s3://my-bucket"
    assert partition.label == "s3://my-bucket/p/"
    assert _keys(list(source.pages(partition))) == ["p/a.jpg"]


def _error(code: str, message: str = "m") -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


@pytest.mark.parametrize(
    ("status", "code", "headers", "says"),
    [
        (404, "NoSuchBucket", {}, "bucket: there is no bucket 'b'"),
        (403, "AccessDenied", {}, "need s3:ListBucket on arn:aws:s3:::b"),
        (403, "AccessDenied", {}, "requester-pays bucket, requester_pays must be on"),
        (301, "PermanentRedirect", {"x-amz-bucket-region": "us-west-2"}, "is in region us-west-2"),
        (400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": "us-west-2"}, "us-west-2"),
        (400, "InvalidArgument", {}, "InvalidArgument"),
    ],
)
def test_permanent_errors_say_what_to_change(
    status: int, code: str, headers: dict[str, str], says: str
):
    bucket = FakeBucket([])
    bucket.status, bucket.error, bucket.headers = status, _error(code), headers
    with pytest.raises(ConfigError, match=says) as caught:
        _source(bucket).check()
    assert str(caught.value).startswith("bucket: ")


def test_rejected_credentials_are_not_a_missing_permission():
    bucket = FakeBucket([])
    bucket.status, bucket.error = 403, _error("InvalidAccessKeyId")
    with pytest.raises(ConfigError, match="aws_conn_id: its credentials are not accepted"):
        _source(bucket).check()


def test_listing_versions_names_its_own_permission():
    bucket = FakeBucket([])
    bucket.status, bucket.error = 403, _error("AccessDenied")
    with pytest.raises(ConfigError, match="s3:ListBucketVersions"):
        _source(bucket, versions=True).check()


def test_a_bucket_that_answers_from_another_region_is_refused():
    bucket = FakeBucket([])
    bucket.headers = {"x-amz-bucket-region": "ap-south-1"}
    with pytest.raises(ConfigError, match=r"in region ap-south-1.* set to eu-west-1"):
        _source(bucket).check()
    bucket.headers = {"x-amz-bucket-region": "eu-west-1"}
    _source(bucket).check()


@pytest.mark.parametrize(
    ("status", "code"), [(200, "InternalError"), (503, "SlowDown"), (500, "InternalError")]
)
def test_temporary_errors_are_retried(status: int, code: str):
    bucket = FakeBucket([])
    source = _source(bucket)
    [partition] = source.partitions(1)
    bucket.status, bucket.error = status, _error(code)
    with pytest.raises(SourceError, match=code):
        list(source.pages(partition))


def test_a_missing_response_is_retried():
    bucket = FakeBucket([])
    bucket.failure = EndpointConnectionError(endpoint_url="http://s3.test")
    with pytest.raises(SourceError, match="could not be listed"):
        _source(bucket).check()


def test_missing_credentials_are_a_permanent_error():
    bucket = FakeBucket([])
    bucket.failure = NoCredentialsError()
    with pytest.raises(ConfigError, match="aws_conn_id"):
        _source(bucket).check()


def test_a_listing_that_does_not_advance_is_an_error():
    bucket = FakeBucket.of(["a", "b"], page=1)
    source = _source(bucket)
    [partition] = source.partitions(1)
    bucket.knows_start_after = False
    with pytest.raises(SourceError, match="does not get past 'a'"):
        list(source.pages(partition))


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER"])
@pytest.mark.parametrize("more", [{}, {"key_glob": "none"}])
def test_a_key_that_a_server_repeats_at_a_border_is_counted_once(
    storage_class: str, more: dict[str, str]
):
    bucket = FakeBucket(
        (Listed(f"{number:02}", storage_class=storage_class) for number in range(20)), page=5
    )
    bucket.repeats_start_after = True
    pages = _all_pages(_source(bucket, **more))
    assert len(pages) == 5
    left_out = sum(sum(page.left_out.values()) for page in pages)
    assert sum(page.seen for page in pages) == left_out + len(_keys(pages)) == 20
    assert len(set(_keys(pages))) == len(_keys(pages))


def test_keys_out_of_order_are_an_error():
    listing = "".join(Listed(key).as_xml() for key in "ba")
    with pytest.raises(SourceError, match="out of order"):
        read_rows(
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{listing}</ListBucketResult>".encode()
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<html/>",
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size><LastModified>2026</LastModified></Contents></ListBucketResult>",
        b"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%FF</Key></Contents></ListBucketResult>",
    ],
)
def test_a_response_that_is_not_a_listing_is_retried(body: bytes):
    with pytest.raises(SourceError, match="not a listing"):
        read_rows(body)


def test_a_listing_without_namespace_or_encoding_is_read():
    entry = (
        b"<Contents><Key>a%20b&amp;c+d</Key><Size>1</Size>"
        b"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
    )
    rows = read_rows(
        b"<ListBucketResult><IsTruncated>true</IsTruncated>" + entry + b"</ListBucketResult>"
    )
    assert (rows.rows[0].key, rows.rows[0].etag, rows.more) == ("a%20b&c+d", "", True)
