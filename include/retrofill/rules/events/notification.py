"""The S3 event notification: the record that S3 sends for a created object."""

from collections.abc import Callable

from include.retrofill.model.items import Item
from include.retrofill.rules.events.context import EventContext
from include.retrofill.rules.events.fields import (
    HOLE,
    MULTIPART_MARK,
    PRINCIPAL,
    SOURCE_IP,
    bucket_arn,
    form_encoded,
    json_inside,
    json_string,
    stamps,
    trace_prefix,
)

EVENT_VERSION = "2.1"
"""The structure that is written; AWS's later 2.x only add fields, which a listing does not tell."""

HEAD = '{"Records":['
TAIL = "]}"


def notification_record(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes the record of an item, in ASCII.

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
        f',"object":{{"key":"{HOLE}","size":{HOLE},"eTag":{HOLE}{HOLE},"sequencer":"{HOLE}"}}}}}}'
    )
    begin, name, request, trace, to_key, to_size, to_etag, _, to_sequencer, end = template.split(
        HOLE
    )

    def record(item: Item) -> str:
        identifier, key, size, modified_at, etag, version_id, _ = item
        time, place = stamps(modified_at)
        digits = identifier.hex()
        created = "CompleteMultipartUpload" if MULTIPART_MARK in etag else "Put"
        version = f',"versionId":{json_string(version_id)}' if version_id else ""
        return (
            f"{begin}{time}{name}{created}{request}{digits[:16].upper()}"
            f"{trace}{digits}{to_key}{form_encoded(key)}{to_size}{size}"
            f"{to_etag}{json_string(etag)}{version}{to_sequencer}{place}{end}"
        )

    return record


def notification_text(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes a whole notification with one item's record, in ASCII."""
    record = notification_record(context)
    return lambda item: f"{HEAD}{record(item)}{TAIL}"
