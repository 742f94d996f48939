"""Requester pays: buckets of which whoever asks pays for what is asked.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SWITCH = "requester_pays"
"""The param that asks for it."""

HINT = f"if it is a bucket whose requesters pay, {SWITCH} must be on"


def paying(client: "S3Client", *, pays: bool) -> "S3Client":
    """Return a client which says with each request, if so asked, that its requester pays."""
    if pays:
        # By name, so that a client on which it is asked for twice says it once.
        client.meta.events.register("before-call.s3", _say_so, unique_id="retrofill-payer")
    return client


def _say_so(params: dict[str, Any], **_: object) -> None:
    params["headers"]["x-amz-request-payer"] = "requester"
