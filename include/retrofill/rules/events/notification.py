"""The S3 event notification: the record that S3 sends for a created object."""

from collections.abc import Callable, Sequence

from include.retrofill.model.items import IDENTIFIER_BYTES, Item, ItemColumns
from include.retrofill.rules.events.context import EventContext
from include.retrofill.rules.events.fields import (
    HOLE,
    MULTIPART_MARK,
    PRINCIPAL,
    SOURCE_IP,
    all_stamps,
    bucket_arn,
    digits_of_each,
    form_encoded_all,
    json_inside,
    json_insides,
    json_string,
    trace_prefix,
)

EVENT_VERSION = "2.1"
"""The structure that is written; AWS's later 2.x only add fields, which a listing does not tell."""

HEAD = '{"Records":['
TAIL = "]}"

_REQUEST_ID_BYTES = 8
_REQUEST_IDS = IDENTIFIER_BYTES // _REQUEST_ID_BYTES
"""Of so many that an identifier has room for the first stands for the id of a request."""


def notification_records(context: EventContext) -> Callable[[Sequence[Item]], list[str]]:
    """Return the function that writes the records of items, in ASCII.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    template = (
        f'{{"eventVersion":"{EVENT_VERSION}","eventSource":"aws:s3"'
        f',"awsRegion":{json_string(context.region)}'
        f',"eventTime":"{HOLE}","eventName":"ObjectCreated:{HOLE}"'
        f',"userIdentity":{{"principalId":"AWS:{PRINCIPAL}"}}'
        f',"requestParameters":{{"sourceIPAddress":"{SOURCE_IP}"}}'
        f',"responseElements":{{"x-amz-request-id":"{HOLE}"'
        f',"x-amz-id-2":"{json_inside(trace_prefix(context))}{HOLE}"}}'
        ',"s3":{"s3SchemaVersion":"1.0"'
        f',"configurationId":{json_string(context.configuration_id)}'
        f',"bucket":{{"name":{json_string(context.bucket)}'
        f',"ownerIdentity":{{"principalId":{json_string(context.bucket_owner)}}}'
        f',"arn":{json_string(bucket_arn(context))}}}'
        f',"object":{{"key":"{HOLE}","size":{HOLE},"eTag":"{HOLE}"{HOLE},"sequencer":"{HOLE}"}}}}}}'
    )
    begin, name, request, trace, to_key, to_size, to_etag, to_version, to_sequencer, end = (
        template.split(HOLE)
    )

    def records(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        identifiers = columns.identifiers
        return [
            f"{begin}{time}{name}{kind}{request}{request_id}"
            f"{trace}{digits}{to_key}{key}{to_size}{size}"
            f"{to_etag}{etag}{to_version}{version}{to_sequencer}{place}{end}"
            for digits, request_id, time, place, kind, key, size, etag, version in zip(
                digits_of_each(identifiers, IDENTIFIER_BYTES),
                digits_of_each(identifiers, _REQUEST_ID_BYTES, upper=True)[::_REQUEST_IDS],
                *all_stamps(columns.moments),
                _kinds(columns.etags),
                form_encoded_all(columns.keys),
                columns.sizes,
                json_insides(columns.etags),
                _versions(columns.version_ids),
                strict=True,
            )
        ]

    return records


def _kinds(etags: Sequence[str]) -> list[str]:
    if MULTIPART_MARK not in "".join(etags):
        return ["Put"] * len(etags)
    return ["CompleteMultipartUpload" if MULTIPART_MARK in etag else "Put" for etag in etags]


def _versions(version_ids: Sequence[str]) -> list[str]:
    if not any(version_ids):
        return [""] * len(version_ids)
    return [f',"versionId":{json_string(one)}' if one else "" for one in version_ids]


def notification_texts(context: EventContext) -> Callable[[Sequence[Item]], list[str]]:
    """Return the function that writes whole notifications, each with one item's record."""
    records = notification_records(context)
    return lambda items: [f"{HEAD}{record}{TAIL}" for record in records(items)]
