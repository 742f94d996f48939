"""Requester pays: buckets that charge the requester.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SWITCH = "requester_pays"
"""The param that turns it on."""

HINT = f"if the bucket is a requester-pays bucket, {SWITCH} must be on"


def paying(client: "S3Client", *, pays: bool) -> "S3Client":
    """Return a client that accepts the bucket's charges with each request, if it pays."""
    if pays:
        # By name, so that a client registered twice does it once.
        client.meta.events.register("before-call.s3", _accept, unique_id="retrofill-payer")
    return client


def _accept(params: dict[str, Any], **_: object) -> None:
    params["headers"]["x-amz-request-payer"] = "requester"
