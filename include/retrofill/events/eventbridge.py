"""The EventBridge event "Object Created" of S3."""

from collections.abc import Callable

from retrofill.events.context import EventContext
from retrofill.events.fields import (
    MULTIPART_MARK,
    SOURCE_IP,
    bucket_arn,
    json_inside,
    json_string,
    sequencer,
    to_seconds,
    trace_prefix,
    uuid_of,
    uuid_text,
)
from retrofill.events.shape import Encoder, EventShape, Way, each
from retrofill.events.template import HOLE
from retrofill.model.items import Item


def object_created(context: EventContext) -> Callable[[Item], str]:
    """Return the function that writes the event of an item, in ASCII; the key is not url-encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    account = json_string(context.account_id)
    template = (
        f'{{"version":"0","id":"{HOLE}","detail-type":"Object Created","source":"aws.s3"'
        f',"account":{account},"time":"{HOLE}","region":{json_string(context.region)}'
        f',"resources":[{json_string(bucket_arn(context))}]'
        f',"detail":{{"version":"0","bucket":{{"name":{json_string(context.bucket)}}}'
        f',"object":{{"key":{HOLE},"size":{HOLE},"etag":{HOLE}{HOLE},"sequencer":"{HOLE}"}}'
        f',"request-id":"{json_inside(trace_prefix(context))}{HOLE}","requester":{account}'
        f',"source-ip-address":"{SOURCE_IP}","reason":"{HOLE}"}}}}'
    )
    begin, to_time, to_key, to_size, to_etag, _, to_sequencer, trace, to_reason, end = (
        template.split(HOLE)
    )

    def event(item: Item) -> str:
        identifier, key, size, modified_at, etag, version_id, _ = item
        event_id = uuid_text(identifier)
        version = f',"version-id":{json_string(version_id)}' if version_id else ""
        reason = "CompleteMultipartUpload" if MULTIPART_MARK in etag else "PutObject"
        return (
            f"{begin}{event_id}{to_time}{to_seconds(modified_at)}{to_key}{json_string(key)}"
            f"{to_size}{size}{to_etag}{json_string(etag)}{version}{to_sequencer}{sequencer(modified_at)}"
            f"{trace}{event_id}{to_reason}{reason}{end}"
        )

    return event


def _encoder(context: EventContext) -> Encoder:
    return Encoder(
        parts=each(object_created(context)), identifier_in_event=uuid_of, head="", tail=""
    )


EVENTBRIDGE = EventShape(
    name="eventbridge",
    words="**eventbridge** Object Created",
    imitates="bucket → EventBridge → function",
    found_by="the rules that have the function as a target",
    encoder=_encoder,
    max_items=1,
    ways=(Way.RULE,),
    made_up=frozenset({"request-id", "requester", "sequencer", "source-ip-address"}),
    uploads={"reason": ("PutObject", "POST Object", "CopyObject")},
)
