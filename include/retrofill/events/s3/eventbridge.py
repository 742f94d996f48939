"""The EventBridge event "Object Created" of S3."""

from collections.abc import Sequence

from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.aws.objects import unpack_all
from retrofill.events.context import EventContext
from retrofill.events.fields import json_string, times_of, to_second
from retrofill.events.s3.context import S3Context
from retrofill.events.s3.fields import MULTIPART_MARK, REQUEST_ID, SOURCE_IP
from retrofill.events.s3.form import OBJECTS
from retrofill.events.s3.imitation import Imitation, Sender
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.synthetic import UUID, of_item
from retrofill.events.template import HOLE, filled
from retrofill.model.items import Item, ItemColumns


def objects_created(context: EventContext) -> Parts:
    """Return the function that writes events of items; the key is not URL-encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    s3 = S3Context.of(context)
    account = json_string(s3.account_id)
    event_ids = context.ids(UUID, "id")
    request_ids = context.ids(REQUEST_ID, "x-amz-request-id")
    fill = filled(
        f'{{"version":"0","id":"{HOLE}","detail-type":"Object Created","source":"aws.s3"'
        f',"account":{account},"time":"{HOLE}Z","region":{json_string(s3.region)}'
        f',"resources":[{json_string(s3.bucket_arn)}]'
        f',"detail":{{"version":"0","bucket":{{"name":{json_string(s3.bucket)}}}'
        f',"object":{{"key":{HOLE},"size":{HOLE},"etag":{HOLE}{HOLE},"sequencer":"{HOLE}"}}'
        f',"request-id":"{HOLE}","requester":{account}'
        f',"source-ip-address":"{SOURCE_IP}","reason":"{HOLE}"}}}}'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        facts = unpack_all(columns.contents)
        return fill(
            event_ids(columns.identifiers),
            list(map(to_second, facts.timestamps)),
            list(map(json_string, columns.keys)),
            facts.sizes,
            list(map(json_string, facts.etags)),
            [f',"version-id":{json_string(one)}' if one else "" for one in facts.version_ids],
            times_of(facts.timestamps)[1],
            request_ids(columns.identifiers),
            [
                "CompleteMultipartUpload" if MULTIPART_MARK in etag else "PutObject"
                for etag in facts.etags
            ],
        )

    return parts


def _encoder(context: EventContext) -> Encoder:
    return Encoder(
        parts=objects_created(context), identifier_in_event=of_item(context.ids(UUID, "id"))
    )


RULE = Sender(
    parts=objects_created,
    key_path=("detail", "object", "key"),
    synthetic=frozenset({"request-id", "requester", "sequencer", "source-ip-address"}),
    uploads={"reason": ("PutObject", "POST Object", "CopyObject")},
)
"""EventBridge, by the rules of its buses."""

EVENTBRIDGE = EventShape(
    name="eventbridge",
    words="**eventbridge** Object Created",
    imitates="bucket → EventBridge → function",
    found_by="the rules of the default bus, and of those that they send to",
    encoder=_encoder,
    forms=OBJECTS,
    carried_by=CARRIED_BY_LAMBDA,
    max_items=1,
    imitation=Imitation(sender=RULE),
)
