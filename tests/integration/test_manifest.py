"""Manifests on a real server: items equal those of a listing, and skipped rows are reported."""

import csv
import gzip
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import boto3
import pytest
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.items import Item
from retrofill.model.listing import Page
from retrofill.model.runs import Window
from retrofill.sources.files import File, S3Files, parse_location
from retrofill.sources.manifest.layout import Writing
from retrofill.sources.manifest.params import PARAM
from retrofill.sources.manifest.reports import ListedFiles
from retrofill.sources.manifest.source import ManifestSource
from retrofill.sources.s3.source import Filter, S3Source
from retrofill.sources.scanners.recognise import Asked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_numbers = count()
# https://github.com/cloud-custodian/cloud-custodian/issues/1997: keys that were read incorrectly.
KEYS = [
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "100%",
    "ü",
    "写真/猫.jpg",
    'q"uote,',
    "<&>",
    "🦆",
    "folder/",
]


@pytest.fixture
def bucket(s3_client: "S3Client") -> str:
    name = f"manifest-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def lists(s3_client: "S3Client") -> str:
    name = f"lists-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return name


def put_all(client: "S3Client", bucket: str) -> None:
    for key in KEYS:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())


def listed(client: "S3Client", bucket: str, *, versions: bool = False) -> list[Item]:
    wanted = Filter(window=Window(after=None, before=None))
    source = S3Source(client, bucket=bucket, prefix="", wanted=wanted, versions=versions)
    return [item for part in source.partitions(1) for page in source.pages(part)
            for item in page.items]  # fmt: skip


def open_manifest(
    client: "S3Client", bucket: str, lists: str, body: bytes, name: str = "m.csv", **more: Any
) -> ManifestSource:
    """Upload a manifest, and open it."""
    client.put_object(Bucket=lists, Key=name, Body=body)
    location = parse_location(f"s3://{lists}/{name}", PARAM)
    is_json = name.endswith("manifest.json")
    files = ListedFiles(client, location) if is_json else S3Files(client, location)
    asked = more.pop("asked", Asked())
    return ManifestSource(client, files, asked, bucket=bucket, **more)


def read(source: ManifestSource) -> tuple[list[Item], Counter[str]]:
    source.check()
    pages: list[Page] = [page for part in source.partitions(3) for page in source.pages(part)]
    left_out = Counter[str]()
    for page in pages:
        left_out.update(page.left_out)
    return sorted(item for page in pages for item in page.items), left_out


def text_of(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def put_inventory(
    client: "S3Client", lists: str, schema: str, rows: list[list[str]], **said: Any
) -> bytes:
    """Upload the files of an inventory; return its manifest.json."""
    files = []
    for number in range(2):
        text = "".join(map(quoted, rows[number::2]))
        body = gzip.compress(text.encode())
        client.put_object(Bucket=lists, Key=f"data/{number}.csv.gz", Body=body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        files.append({"key": f"data/{number}.csv.gz", "size": len(body), "MD5checksum": md5})
    return json.dumps(
        {
            "sourceBucket": "photos",
            "destinationBucket": f"arn:aws:s3:::{lists}",
            "version": "2016-11-30",
            "creationTimestamp": "1767225600000",
            "fileFormat": "CSV",
            "fileSchema": schema,
            "files": files,
            **said,
        }
    ).encode()


def quoted(row: Sequence[str]) -> str:
    return ",".join(f'"{field}"' for field in row) + "\n"


FORMATS = ["batch operations", "report", "own csv", "own json", "inventory", "inventory, bare"]


def manifest_of(client: "S3Client", lists: str, bucket: str, form: str) -> tuple[str, bytes]:
    """Return the name and body of a manifest of all keys in this format."""
    found = {one["Key"]: one for one in client.list_objects_v2(Bucket=bucket)["Contents"]}
    if form == "batch operations":
        return "m.csv", text_of([bucket, quote(key)] for key in KEYS)
    if form == "report":
        tail = ["", "failed", "200", "PermanentFailure", 'Lambda said "no",\nand again']
        return "m.csv", text_of([bucket, quote(key), *tail] for key in KEYS)
    if form == "own csv":
        rows = [[key, found[key]["ETag"], found[key]["Size"]] for key in KEYS]
        return "m.csv", text_of([["Object Key", "e_tag", "Size"], *rows])
    if form == "own json":
        facts = [
            {
                "key": key,
                "size": found[key]["Size"],
                "etag": found[key]["ETag"],
                "last_modified": found[key]["LastModified"].isoformat(),
            }
            for key in KEYS
        ]
        return "m.jsonl", "".join(json.dumps(one) + "\n" for one in facts).encode()
    full = form == "inventory"
    schema = "Bucket, Key, Size, LastModifiedDate, ETag" if full else "Bucket, Key"
    rows = [[bucket, quote_plus(key, safe="/")] for key in KEYS]
    if full:
        for row, key in zip(rows, KEYS, strict=True):
            one = found[key]
            moment = one["LastModified"].isoformat().replace("+00:00", "Z")
            row += [str(one["Size"]), moment, one["ETag"].strip('"')]
    return "x/manifest.json", put_inventory(client, lists, schema, rows)


@pytest.mark.parametrize("form", FORMATS)
def test_the_items_equal_those_of_the_listing(
    s3_client: "S3Client", bucket: str, lists: str, form: str
):
    put_all(s3_client, bucket)
    name, body = manifest_of(s3_client, lists, bucket, form)
    items, left_out = read(open_manifest(s3_client, bucket, lists, body, name))
    expected = sorted(listed(s3_client, bucket))
    assert [item[:2] for item in items] == [item[:2] for item in expected]
    # HEAD gives times in whole seconds, a listing in thousandths.
    assert [facts(item) for item in items] == [facts(item) for item in expected]
    assert not left_out


def facts(item: Item) -> list[str]:
    size, moment, *rest = item.content.split("\x1f")
    return [size, moment.partition(".")[0], *rest]


def test_versions_are_those_in_the_manifest(s3_client: "S3Client", bucket: str, lists: str):
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3_client.put_object(Bucket=bucket, Key="a", Body=b"%d" % n)["VersionId"]
                for n in range(2)]  # fmt: skip
    body = text_of([bucket, "a", version] for version in versions)
    [first, second], _ = read(open_manifest(s3_client, bucket, lists, body, versions=True))
    assert {first.content[-len(versions[0]) :], second.content[-len(versions[0]) :]} == set(
        versions
    )
    [current] = listed(s3_client, bucket, versions=True)
    assert current.identifier in {first.identifier, second.identifier}
    # Without versions, both rows name the one object of the listing.
    items, _ = read(open_manifest(s3_client, bucket, lists, body))
    assert {item.identifier for item in items} == {
        one.identifier for one in listed(s3_client, bucket)
    }


def test_skipped_items_are_counted_by_reason(s3_client: "S3Client", bucket: str, lists: str):
    for key in ("here", "cold"):
        more: Any = {"StorageClass": "GLACIER"} if key == "cold" else {}
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"1", **more)
    body = text_of([
        ["bucket", "key", "is_latest", "IsDeleteMarker", "TaskStatus"],
        [bucket, "here", "true", "false", "failed"],
        [bucket, "cold", "true", "false", "failed"],
        [bucket, "gone", "true", "false", "failed"],
        ["elsewhere", "here", "true", "false", "failed"],
        [bucket, "here", "false", "false", "failed"],
        [bucket, "here", "true", "true", "failed"],
        [bucket, "here", "true", "false", "succeeded"],
        [bucket, "a\0b", "true", "false", "failed"],
        [bucket, "", "true", "false", "failed"],
        ["too", "few"],
    ])  # fmt: skip
    source = open_manifest(s3_client, bucket, lists, body, status="failed", stop=False)
    items, left_out = read(source)
    assert [item.key for item in items] == ["here"]
    assert left_out == {
        "archived": 1, "missing": 1, "other_bucket": 1, "noncurrent": 1, "delete_marker": 1,
        "filtered": 1, "rejected": 1, "malformed": 2,
    }  # fmt: skip


def test_a_restored_object_is_an_item_whatever_its_class_in_the_manifest(
    s3_client: "S3Client", aws: str, aws_session: boto3.Session, bucket: str, lists: str
):
    said = {"back": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"',
            "coming": 'ongoing-request="true"', "cold": ""}  # fmt: skip
    for key in said:
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"1", StorageClass="GLACIER")
    # The emulator restores nothing; S3 reports it in a header.
    client = aws_session.client("s3", endpoint_url=aws)

    def restored(parsed: dict[str, Any], http_response: Any, **_: Any) -> None:
        key = http_response.url.rpartition("/")[2]
        parsed.update({"Restore": said[key]} if said.get(key) else {})

    client.meta.events.register("after-call.s3.HeadObject", restored)
    time = "2026-01-01T00:00:00Z"
    body = text_of([
        ["bucket", "key", "size", "etag", "last_modified", "storage_class"],
        *([bucket, key, "1", "e", time, "GLACIER"] for key in said),
    ])  # fmt: skip
    items, left_out = read(open_manifest(client, bucket, lists, body))
    assert [item.key for item in items] == ["back"]
    assert left_out == {"restoring": 1, "archived": 1}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("k,x,,", "its size is 'x', which is not a number of bytes"),
        (
            "k,1,,yesterday",
            "its time is 'yesterday', which is not a time such as 2026-01-02T03:04:05Z",
        ),
        (
            "k,1,,0001-01-01T00:00:00+05:00",
            "its time is '0001-01-01T00:00:00+05:00', which is not a time such as",
        ),
        (f"{'k' * 1025},1,,", "its key has 1,025 bytes, more than 1,024"),
        ("k,1,a\x1fb,", "it contains characters that no key, ETag or version has"),
        (",1,,", "it has no key"),
        ("k,1", "it has 2 fields, but there are 4 columns"),
    ],
)
def test_a_malformed_row_stops_the_run_after_the_rows_before_it(
    s3_client: "S3Client", bucket: str, lists: str, row: str, why: str
):
    body = f"key,size,etag,last_modified\ngood,1,e,2026-01-01T00:00:00Z\n{row}\n".encode()
    source = open_manifest(s3_client, bucket, lists, body)
    assert source.check()
    [whole] = source.partitions(1)
    pages = source.pages(whole)
    assert [item.key for item in next(pages).items] == ["good"]
    with pytest.raises(SourceError, match=re.escape(f"m.csv, row 2 at byte 58: {why}")):
        next(pages)


def test_a_manifest_without_usable_rows_does_not_count_as_read(
    s3_client: "S3Client", bucket: str, lists: str
):
    body = b"key,size\na,x\n,2\n"
    source = open_manifest(s3_client, bucket, lists, body, stop=False)
    why = r"m\.csv: none of its rows up to row 2 can be used"
    with pytest.raises(ConfigError, match=f"^{PARAM}: .*{why}"):
        source.check()
    [whole] = source.partitions(1)
    with pytest.raises(UnfitSource, match=why):
        next(source.pages(whole))


def test_a_missing_response_before_the_first_row_is_retried(
    s3_client: "S3Client", bucket: str, lists: str
):
    class Broken(S3Files):
        def read(self, file: File, at: int = 0) -> Iterator[bytes]:
            yield from super().read(file, at)
            raise SourceError("no answer")

    body = b"key,size\n" + (b"k" * 200 + b",x\n") * 500
    s3_client.put_object(Bucket=lists, Key="m.csv", Body=body)
    files = Broken(s3_client, parse_location(f"s3://{lists}/m.csv", PARAM))
    with pytest.raises(SourceError, match=r"^no answer"):
        ManifestSource(s3_client, files, Asked(), bucket=bucket, stop=False).check()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"fileFormat": "Parquet"}, "its files are Parquet; set the inventory's output format"),
        ({"fileSchema": "Bucket, Size"}, "its fileSchema lacks Key"),
        ({"files": [{"name": "x"}]}, "it is neither the manifest.json of an S3 Inventory nor"),
        ({"files": [{"key": "no", "MD5checksum": ""}]}, "there is no file s3://"),
    ],
)
def test_an_unreadable_inventory_is_a_bad_setting(
    s3_client: "S3Client", bucket: str, lists: str, said: dict[str, Any], why: str
):
    body = put_inventory(s3_client, lists, "Bucket, Key", [], **said)
    source = open_manifest(s3_client, bucket, lists, body, "manifest.json")
    with pytest.raises(ConfigError, match=f"^manifest: .*{why}"):
        source.check()


def test_a_manifest_with_a_wrong_checksum_is_refused(
    s3_client: "S3Client", bucket: str, lists: str
):
    body = put_inventory(s3_client, lists, "Bucket, Key", [])
    source = open_manifest(s3_client, bucket, lists, body, "manifest.json")
    s3_client.put_object(Bucket=lists, Key="manifest.checksum", Body=b"0" * 32)
    with pytest.raises(ConfigError, match=r"the MD5 of .*manifest\.json is"):
        source.check()


def test_a_file_with_a_wrong_checksum_is_noticed(s3_client: "S3Client", bucket: str, lists: str):
    row = [bucket, "k", "1", "2026-01-01T00:00:00Z", "e"]
    schema = "Bucket, Key, Size, LastModifiedDate, ETag"
    body = put_inventory(s3_client, lists, schema, [row])
    other = gzip.compress(quoted([bucket, "other", *row[2:]]).encode())
    s3_client.put_object(Bucket=lists, Key="data/0.csv.gz", Body=other)
    source = open_manifest(s3_client, bucket, lists, body, "manifest.json")
    with pytest.raises(SourceError, match=r"data/0\.csv\.gz: its MD5 is"):
        read(source)


def test_a_file_with_a_wrong_checksum_is_noticed_wherever_reading_continues(
    s3_client: "S3Client", bucket: str, lists: str
):
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"")
    rows = text_of([bucket, "k", "", "succeeded", "", "200", "x" * 90] for _ in range(1_500))
    s3_client.put_object(Bucket=lists, Key="r.csv", Body=rows)
    result = {"TaskExecutionStatus": "succeeded", "MD5Checksum": "0" * 32, "Key": "r.csv"}
    said = {"Format": "Report_CSV_20180820", "Results": [result | {"Bucket": lists}],
            "ReportSchema": "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, "
            "ResultMessage"}  # fmt: skip
    source = open_manifest(s3_client, bucket, lists, json.dumps(said).encode(), "manifest.json")
    [whole] = source.partitions(1)
    cursor = None
    for _ in range(3):
        pages = source.pages(whole, cursor)
        if cursor is None:
            cursor = next(pages).cursor
        with pytest.raises(SourceError, match=r"r\.csv: its MD5 is"):
            list(pages)


def test_each_json_line_names_its_object(s3_client: "S3Client", bucket: str, lists: str):
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    [old, new] = [s3_client.put_object(Bucket=bucket, Key="a", Body=b"%d" % n)["VersionId"]
                  for n in range(2)]  # fmt: skip
    lines = [
        {"key": "a"},
        {"version_id": old, "key": "a"},
        {"key": "a", "bucket": "elsewhere"},
        {"Key": "a", "is_delete_marker": True},
        {"name": "a"},
        ["a"],
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    source = open_manifest(s3_client, bucket, lists, body, "m.jsonl", versions=True, stop=False)
    items, left_out = read(source)
    assert {item.content.rpartition("\x1f")[2] for item in items} == {old, new}
    assert left_out == {"other_bucket": 1, "delete_marker": 1, "malformed": 2}


def test_a_key_that_is_not_text_is_malformed(s3_client: "S3Client", bucket: str, lists: str):
    body = b'{"key":"\\ud800"}\n'
    source = open_manifest(s3_client, bucket, lists, body, "m.jsonl")
    with pytest.raises(ConfigError, match="row 1 at byte 0: it contains characters that no key"):
        source.check()


def test_with_versions_an_object_of_unknown_version_is_looked_up(
    s3_client: "S3Client", bucket: str, lists: str
):
    s3_client.put_object(Bucket=bucket, Key="before", Body=b"")
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3_client.put_object(Bucket=bucket, Key="since", Body=b"")
    expected = listed(s3_client, bucket, versions=True)
    columns = ["key", "size", "etag", "last_modified"]
    etag = expected[0].content.split("\x1f")[2]
    rows = [[item.key, 0, etag, "2026-01-01"] for item in expected]
    said = [(columns, rows), ([*columns, "version_id"], [[*rows[0], "null"], [*rows[1], ""]])]
    for head, lines in said:
        body = text_of([head, *lines])
        items, _ = read(open_manifest(s3_client, bucket, lists, body, versions=True))
        assert [item[:2] for item in items] == sorted(item[:2] for item in expected)


@pytest.mark.parametrize("first", ["id,path", "other-bucket,k"])
def test_a_file_without_a_header_refers_to_the_runs_bucket(
    s3_client: "S3Client", bucket: str, lists: str, first: str
):
    source = open_manifest(s3_client, bucket, lists, f"{first}\n{bucket},k\n".encode())
    with pytest.raises(ConfigError, match=r"manifest: file .*Its first row names the bucket '"):
        source.check()


def test_a_report_is_read_via_its_manifest(s3_client: "S3Client", bucket: str, lists: str):
    put_all(s3_client, bucket)
    results = []
    for status, keys in (("succeeded", KEYS[:4]), ("failed", KEYS[4:])):
        rows = text_of([bucket, quote(key), "", status, "", "200", "x\ny"] for key in keys)
        s3_client.put_object(Bucket=lists, Key=f"results/{status}.csv", Body=rows)
        md5 = hashlib.md5(rows, usedforsecurity=False).hexdigest()
        results.append({"TaskExecutionStatus": status, "Bucket": lists, "MD5Checksum": md5,
                        "Key": f"results/{status}.csv"})  # fmt: skip
    said = {"Format": "Report_CSV_20180820", "Results": results, "ReportSchema": "Bucket, Key, "
            "VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"}  # fmt: skip
    source = open_manifest(
        s3_client, bucket, lists, json.dumps(said).encode(), "job/manifest.json", status="failed"
    )
    items, left_out = read(source)
    assert sorted(item.key for item in items) == sorted(KEYS[4:])
    assert left_out == {"filtered": 4}


def test_an_empty_inventory_has_no_items(s3_client: "S3Client", bucket: str, lists: str):
    body = put_inventory(s3_client, lists, "Bucket, Key", [], files=[])
    source = open_manifest(s3_client, bucket, lists, body, "manifest.json")
    assert not source.check()
    assert read(source) == ([], Counter())


def test_key_encoding_and_columns_can_be_given(s3_client: "S3Client", bucket: str, lists: str):
    s3_client.put_object(Bucket=bucket, Key="a b", Body=b"")
    asked = Asked(columns=("note", "key"))
    source = open_manifest(s3_client, bucket, lists, b"x,a+b\n", asked=asked, writing=Writing.PLUS)
    assert [item.key for item in read(source)[0]] == ["a b"]


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_objects_modified_after_the_run_opened_are_later(
    s3_client: "S3Client", bucket: str, lists: str, seconds: int
):
    put_all(s3_client, bucket)
    keys = sorted(item.key for item in listed(s3_client, bucket))
    opened = datetime.now(UTC) + timedelta(seconds=seconds)
    body = text_of([["key"], *([key] for key in keys)])
    source = open_manifest(s3_client, bucket, lists, body, opened=opened)
    found = [page for part in source.partitions(1) for page in source.pages(part)]
    items = [item for page in found for item in page.items]
    later = [item for page in found for item in page.later]
    assert sorted(item.key for item in (items if seconds > 0 else later)) == keys
    assert sum(page.left_out.get("later", 0) for page in found) == len(later)
