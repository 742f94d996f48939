"""The scripted S3 lists to the real client as S3 does."""

from contextlib import closing
from datetime import UTC, datetime

import pytest
from botocore.exceptions import (
    ClientError,
)
from mypy_boto3_s3 import S3Client

from stack.endpoint import (
    Bucket,
    GeneratedObjects,
    Operation,
    Reply,
    Rule,
    S3Object,
    Script,
    Wire,
    generated_object,
)
from tests.integration.endpoint.clients import (
    ODD_KEYS,
    Follow,
    list_all,
    raw_socket,
    read_until,
)


@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_odd_keys_come_through_byte_for_byte_in_utf8_order(
    follow: Follow, buckets: S3Client, page_size: int
) -> None:
    endpoint = follow(
        Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in ODD_KEYS)),))
    )
    contents, _ = list_all(buckets, Bucket="scripted", PaginationConfig={"PageSize": page_size})
    assert [one["Key"] for one in contents] == sorted(ODD_KEYS, key=str.encode)
    pages = -(-len(ODD_KEYS) // page_size)
    assert endpoint.stats().by_outcome == {"list_objects 200": pages}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_a_prefix_and_a_place_to_start(
    follow: Follow, buckets: S3Client, key: str
) -> None:
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=one) for one in ODD_KEYS)),)))
    with_prefix, _ = list_all(buckets, Bucket="scripted", Prefix=key)
    assert key in [one["Key"] for one in with_prefix]
    assert all(one["Key"].startswith(key) for one in with_prefix)
    after, _ = list_all(buckets, Bucket="scripted", StartAfter=key)
    assert [one["Key"] for one in after] == sorted(
        (one for one in ODD_KEYS if one.encode() > key.encode()), key=str.encode
    )


def test_a_listing_tells_all_of_an_object(follow: Follow, buckets: S3Client) -> None:
    one = S3Object(
        key="k",
        size=5_000_000_000,
        etag="0123-2",
        modified_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC),
        storage_class="GLACIER",
    )
    follow(Script(buckets=(Bucket(objects=(one,)),)))
    contents, _ = list_all(buckets, Bucket="scripted")
    listed = contents[0]
    assert (listed["Key"], listed["Size"], listed["StorageClass"]) == ("k", one.size, "GLACIER")
    assert listed["ETag"] == '"0123-2"'
    assert listed["LastModified"] == one.modified_at


def test_delimiters_roll_keys_up_over_pages(follow: Follow, buckets: S3Client) -> None:
    keys = ["a", "b/1", "b/2/3", "c d/1", "c+d/1", "d", "e/1"]
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in keys)),)))
    contents, common = list_all(
        buckets, Bucket="scripted", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    assert [one["Key"] for one in contents] == ["a", "d"]
    assert common == ["b/", "c d/", "c+d/", "e/"]
    contents, common = list_all(buckets, Bucket="scripted", Prefix="b/", Delimiter="/")
    assert [one["Key"] for one in contents] == ["b/1"]
    assert common == ["b/2/"]


def test_made_up_objects_are_listed_by_the_thousand(follow: Follow, buckets: S3Client) -> None:
    generated = GeneratedObjects(count=10_000_000)
    follow(Script(buckets=(Bucket(generated=generated),)))
    page = buckets.list_objects_v2(Bucket="scripted", StartAfter="data/009998999.json")
    assert page["KeyCount"] == 1000
    assert not page["IsTruncated"]
    for one, i in ((page["Contents"][0], 9_999_000), (page["Contents"][-1], 9_999_999)):
        made_up = generated_object(generated, i)
        assert one["Key"] == made_up.key == f"data/{i:09d}.json"
        assert one["ETag"] == f'"{made_up.etag}"'
        assert (one["Size"], one["LastModified"]) == (made_up.size, made_up.modified_at)
    first = buckets.list_objects_v2(Bucket="scripted", MaxKeys=3)
    assert first["IsTruncated"]
    second = buckets.list_objects_v2(
        Bucket="scripted", MaxKeys=3, ContinuationToken=first["NextContinuationToken"]
    )
    assert [one["Key"] for one in second["Contents"]] == [f"data/{i:09d}.json" for i in (3, 4, 5)]


def test_the_old_listing_works_too(follow: Follow, buckets: S3Client) -> None:
    follow(Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in ODD_KEYS)),)))
    pages = buckets.get_paginator("list_objects").paginate(
        Bucket="scripted", PaginationConfig={"PageSize": 5}
    )
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    assert keys == sorted(ODD_KEYS, key=str.encode)


def test_buckets_that_cannot_be_read(follow: Follow, buckets: S3Client) -> None:
    denied = tuple(
        Rule(operation=operation, resource="denied", reply=Reply(error="AccessDenied"))
        for operation in (Operation.HEAD_BUCKET, Operation.LIST_OBJECTS)
    )
    follow(
        Script(
            buckets=(Bucket(), Bucket(name="denied"), Bucket(name="far", region="eu-west-1")),
            rules=denied,
        )
    )
    head = buckets.head_bucket(Bucket="scripted")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    for bucket, code, status in (
        ("missing", "NoSuchBucket", 404),
        ("denied", "AccessDenied", 403),
        ("far", "PermanentRedirect", 301),
    ):
        with pytest.raises(ClientError) as caught:
            buckets.head_bucket(Bucket=bucket)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        with pytest.raises(ClientError) as caught:
            buckets.list_objects_v2(Bucket=bucket)
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as caught:
        buckets.head_bucket(Bucket="far")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-bucket-region"] == "eu-west-1"
    location = buckets.get_bucket_location(Bucket="far")
    assert location["LocationConstraint"] == "eu-west-1"
    assert buckets.get_bucket_location(Bucket="scripted").get("LocationConstraint") is None
    settings = buckets.get_bucket_notification_configuration(Bucket="scripted")
    assert set(settings) == {"ResponseMetadata"}
    with pytest.raises(ClientError) as caught:
        buckets.get_object(Bucket="scripted", Key="a")
    assert caught.value.response["Error"]["Code"] == "NotImplemented"


def test_an_answer_to_head_has_no_body(follow: Follow) -> None:
    endpoint = follow(Script())
    with closing(raw_socket(endpoint)) as sock:
        sock.sendall(b"HEAD /missing HTTP/1.1\r\n\r\nHEAD /scripted HTTP/1.1\r\n\r\n")
        received = read_until(sock, b"\r\n\r\n")
        while received.count(b"\r\n\r\n") < 2:
            received += read_until(sock, b"\r\n\r\n")
    first, second, rest = received.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 404 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert rest == b""


def test_a_listing_fails_at_the_page_the_script_says(follow: Follow, buckets: S3Client) -> None:
    rules = (
        Rule(
            operation=Operation.LIST_OBJECTS,
            calls=frozenset({2}),
            reply=Reply(error="SlowDown"),
        ),
        Rule(
            operation=Operation.LIST_OBJECTS,
            calls=frozenset({3}),
            reply=Reply(wire=Wire.CUT),
        ),
    )
    bucket = Bucket(generated=GeneratedObjects(count=3_000))
    endpoint = follow(Script(buckets=(bucket,), rules=rules))
    first = buckets.list_objects_v2(Bucket="scripted")
    with pytest.raises(ClientError) as caught:
        buckets.list_objects_v2(Bucket="scripted")
    assert caught.value.response["Error"]["Code"] == "SlowDown"
    # botocore makes a status of its own of a page that ends too early.
    with pytest.raises(ClientError, match="500"):
        buckets.list_objects_v2(Bucket="scripted")
    assert endpoint.stats().by_outcome == {
        "list_objects 200": 1,
        "list_objects 503 SlowDown": 1,
        "list_objects cut": 1,
    }
    with pytest.raises(ClientError) as caught:
        buckets.list_objects_v2(Bucket="scripted", ContinuationToken="!")
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"
    # A token outlives the objects: the source may change between two pages.
    follow(Script(buckets=(Bucket(generated=GeneratedObjects(count=1_500)),)))
    second = buckets.list_objects_v2(
        Bucket="scripted", ContinuationToken=first["NextContinuationToken"]
    )
    assert second["KeyCount"] == 500
