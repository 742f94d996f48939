"""The S3 source on a real server: unchanged keys, and unreadable buckets."""

from itertools import count
from typing import TYPE_CHECKING

import boto3
import pytest
from retrofill.aws.objects import pack, unpack
from retrofill.model.errors import ConfigError, SourceError
from retrofill.model.runs import Window
from retrofill.sources import Page
from retrofill.sources.s3 import keyspace
from retrofill.sources.s3 import source as s3
from retrofill.sources.s3.source import Filter, S3Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_numbers = count()
_KEYS = [
    "plain.txt",
    "folder/",
    "a b",
    " leading and trailing ",
    "a+b",
    "a%20b",
    "a%2Bb",
    "100%",
    "line\nbreak",
    "tab\tand return\r",
    "<&>'\"",
    "e\u0301 and \u00e9",
    "\u202eright to left",
    "写真/猫.jpg",
    "a/../b",
    "🦆" * 256,
    "k" * 1_024,
]


@pytest.fixture
def bucket(s3_client: "S3Client") -> str:
    name = f"source-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return name


def _source(
    client: "S3Client", bucket: str, prefix: str = "", *, versions: bool = False
) -> S3Source:
    wanted = Filter(window=Window(after=None, before=None))
    return S3Source(client, bucket=bucket, prefix=prefix, wanted=wanted, versions=versions)


def _pages(source: S3Source, limit: int = 16) -> list[Page]:
    source.check()
    return [page for part in source.partitions(limit) for page in source.pages(part)]


@pytest.fixture
def odd_keys(s3_client: "S3Client", bucket: str) -> list[str]:
    for key in _KEYS:
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(_KEYS)


@pytest.mark.usefixtures("odd_keys")
def test_every_key_is_listed_unchanged(
    s3_client: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch
):
    for module, name, value in [
        (s3, "PEEK_KEYS", 2),
        (keyspace, "KEYS_WORTH_A_RANGE", 2),
        (s3, "PAGE_KEYS", 2),
    ]:
        monkeypatch.setattr(module, name, value)
    source = _source(s3_client, bucket)
    assert len(source.partitions(5)) == 5
    items = [item for page in _pages(source, 5) for item in page.items]
    assert [item.key for item in items] == sorted(_KEYS)
    for item in items:
        found = s3_client.head_object(Bucket=bucket, Key=item.key)
        facts = unpack(item.content)
        assert facts.size == found["ContentLength"] == len(item.key.encode())
        assert f'"{facts.etag}"' == found["ETag"]
        assert facts.modified_at.replace(microsecond=0) == found["LastModified"]


def test_the_rows_equal_those_of_botocore(s3_client: "S3Client", bucket: str, odd_keys: list[str]):
    items = [item for page in _pages(_source(s3_client, bucket)) for item in page.items]
    contents = s3_client.list_objects_v2(Bucket=bucket)["Contents"]
    assert len(contents) == len(odd_keys)
    assert [(item.key, item.content) for item in items] == [
        (entry["Key"], pack(entry["Size"], entry["LastModified"], entry["ETag"].strip('"'), ""))
        for entry in contents
    ]


def test_a_changed_object_has_another_identifier(s3_client: "S3Client", bucket: str):
    seen = set()
    for body in (b"one", b"two", b"one"):
        s3_client.put_object(Bucket=bucket, Key="k", Body=body)
        [[item]] = [page.items for page in _pages(_source(s3_client, bucket))]
        seen.add(item.identifier)
    assert len(seen) == 2


def test_versions_are_listed_with_their_ids(s3_client: "S3Client", bucket: str):
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3_client.put_object(Bucket=bucket, Key="a", Body=b"1")
    latest = s3_client.put_object(Bucket=bucket, Key="a", Body=b"2")["VersionId"]
    s3_client.put_object(Bucket=bucket, Key="gone", Body=b"3")
    s3_client.delete_object(Bucket=bucket, Key="gone")
    [page] = _pages(_source(s3_client, bucket, versions=True))
    [(key, facts)] = [(item.key, unpack(item.content)) for item in page.items]
    assert (key, facts.version_id, facts.size) == ("a", latest, 1)


def test_archived_objects_are_counted(s3_client: "S3Client", bucket: str):
    s3_client.put_object(Bucket=bucket, Key="cold", Body=b"1", StorageClass="GLACIER")
    s3_client.put_object(Bucket=bucket, Key="warm", Body=b"1")
    [page] = _pages(_source(s3_client, bucket))
    assert ([item.key for item in page.items], page.left_out) == (["warm"], {"archived": 1})


def test_an_empty_bucket_has_no_page(s3_client: "S3Client", bucket: str):
    assert _pages(_source(s3_client, bucket)) == []


def test_a_missing_bucket_is_named(s3_client: "S3Client"):
    with pytest.raises(ConfigError, match="bucket: there is no bucket 'no-such-bucket'"):
        _source(s3_client, "no-such-bucket").check()


def test_an_unreachable_server_is_retried(aws_session: boto3.Session):
    client = aws_session.client("s3", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(SourceError, match="could not be listed"):
        _source(client, "b").check()
