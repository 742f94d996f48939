"""The scripted S3 answers listings of the real client like S3."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from stack.endpoint import Bucket, Operation, Reply, Rule, S3Object, Script, Wire
from tests.integration.endpoint.clients import ODD_KEYS, Follow, list_all

ODD = Script(buckets=(Bucket(objects=tuple(S3Object(key=key) for key in ODD_KEYS)),))


@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_odd_keys_are_listed_unchanged_in_utf8_order(
    follow: Follow, buckets: S3Client, page_size: int
) -> None:
    endpoint = follow(ODD)
    contents = list_all(buckets, Bucket="scripted", PaginationConfig={"PageSize": page_size})
    assert [one["Key"] for one in contents] == sorted(ODD_KEYS, key=str.encode)
    pages = -(-len(ODD_KEYS) // page_size)
    assert endpoint.stats().by_operation == {"list_objects": pages}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_may_be_a_prefix_or_a_start(follow: Follow, buckets: S3Client, key: str) -> None:
    follow(ODD)
    with_prefix = list_all(buckets, Bucket="scripted", Prefix=key)
    assert key in [one["Key"] for one in with_prefix]
    assert all(one["Key"].startswith(key) for one in with_prefix)
    after = list_all(buckets, Bucket="scripted", StartAfter=key)
    assert [one["Key"] for one in after] == sorted(
        (one for one in ODD_KEYS if one.encode() > key.encode()), key=str.encode
    )


def test_a_listing_has_every_field_of_an_object(follow: Follow, buckets: S3Client) -> None:
    one = S3Object(
        key="k",
        size=5_000_000_000,
        modified_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC),
        storage_class="GLACIER",
    )
    follow(Script(buckets=(Bucket(objects=(one,)),)))
    (listed,) = list_all(buckets, Bucket="scripted")
    assert (listed["Key"], listed["Size"], listed["StorageClass"]) == ("k", one.size, "GLACIER")
    assert listed["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    assert listed["LastModified"] == one.modified_at


def test_generated_objects_are_listed_in_pages_of_a_thousand(
    follow: Follow, buckets: S3Client
) -> None:
    follow(Script(buckets=(Bucket(generated=10_000_000),)))
    page = buckets.list_objects_v2(Bucket="scripted", StartAfter="data/009998999.json")
    assert page["KeyCount"] == 1000
    assert not page["IsTruncated"]
    listed = page["Contents"]
    assert [one["Key"] for one in listed] == [
        f"data/{number:09}.json" for number in range(9_999_000, 10_000_000)
    ]
    assert len({one["ETag"] for one in listed}) == len({one["Size"] for one in listed}) == 1000
    first = buckets.list_objects_v2(Bucket="scripted", MaxKeys=3)
    assert first["IsTruncated"]
    second = buckets.list_objects_v2(
        Bucket="scripted", MaxKeys=3, ContinuationToken=first["NextContinuationToken"]
    )
    assert [one["Key"] for one in second["Contents"]] == [f"data/{i:09d}.json" for i in (3, 4, 5)]


def test_unreadable_requests_are_refused(follow: Follow, buckets: S3Client) -> None:
    denied = Rule(
        operation=Operation.LIST_OBJECTS, resource="denied", reply=Reply(error="AccessDenied")
    )
    follow(Script(buckets=(Bucket(), Bucket(name="denied")), rules=(denied,)))
    answer = buckets.list_objects_v2(Bucket="scripted")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    for query, code, status in (
        ({"Bucket": "missing"}, "NoSuchBucket", 404),
        ({"Bucket": "denied"}, "AccessDenied", 403),
        ({"Bucket": "scripted", "ContinuationToken": "!"}, "InvalidArgument", 400),
        ({"Bucket": "scripted", "Delimiter": "/"}, "NotImplemented", 501),
    ):
        with pytest.raises(ClientError) as caught:
            buckets.list_objects_v2(**query)  # type: ignore[arg-type]
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(ClientError, match="NotImplemented"):
        buckets.get_object(Bucket="scripted", Key="a")


def test_no_bucket_notifies(follow: Follow, buckets: S3Client) -> None:
    follow(Script())
    settings = buckets.get_bucket_notification_configuration(Bucket="scripted")
    assert set(settings) == {"ResponseMetadata"}


def test_a_listing_fails_at_the_scripted_page(follow: Follow, buckets: S3Client) -> None:
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
    endpoint = follow(Script(buckets=(Bucket(generated=3_000),), rules=rules))
    first = buckets.list_objects_v2(Bucket="scripted")
    with pytest.raises(ClientError, match="SlowDown"):
        buckets.list_objects_v2(Bucket="scripted")
    # botocore reports its own status for a page that ends too early.
    with pytest.raises(ClientError, match="500"):
        buckets.list_objects_v2(Bucket="scripted")
    assert endpoint.stats().by_operation == {"list_objects": 3}
    # A token outlives its objects: the source may change between two pages.
    follow(Script(buckets=(Bucket(generated=1_500),)))
    second = buckets.list_objects_v2(
        Bucket="scripted", ContinuationToken=first["NextContinuationToken"]
    )
    assert second["KeyCount"] == 500
