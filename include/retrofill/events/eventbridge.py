"""The EventBridge event "Object Created" of S3."""

from collections.abc import Sequence

from retrofill.aws.objects import unpack_all
from retrofill.events.context import EventContext
from retrofill.events.fields import (
    MULTIPART_MARK,
    SOURCE_IP,
    all_sequencers,
    bucket_arn,
    json_inside,
    json_string,
    to_second,
    trace_prefix,
    uuid_of,
    uuid_texts,
)
from retrofill.events.shape import Encoder, EventShape, Parts, Way
from retrofill.events.template import HOLE, filled
from retrofill.model.items import Item, ItemColumns


def objects_created(context: EventContext) -> Parts:
    """Return the function that writes events of items, in ASCII; the key is not url-encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    account = json_string(context.account_id)
    fill = filled(
        f'{{"version":"0","id":"{HOLE}","detail-type":"Object Created","source":"aws.s3"'
        f',"account":{account},"time":"{HOLE}Z","region":{json_string(context.region)}'
        f',"resources":[{json_string(bucket_arn(context))}]'
        f',"detail":{{"version":"0","bucket":{{"name":{json_string(context.bucket)}}}'
        f',"object":{{"key":{HOLE},"size":{HOLE},"etag":{HOLE}{HOLE},"sequencer":"{HOLE}"}}'
        f',"request-id":"{json_inside(trace_prefix(context))}{HOLE}","requester":{account}'
        f',"source-ip-address":"{SOURCE_IP}","reason":"{HOLE}"}}}}'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        facts = unpack_all(columns.contents)
        ids = uuid_texts(columns.identifiers)
        return fill(
            ids,
            list(map(to_second, facts.moments)),
            list(map(json_string, columns.keys)),
            facts.sizes,
            list(map(json_string, facts.etags)),
            [f',"version-id":{json_string(one)}' if one else "" for one in facts.version_ids],
            all_sequencers(facts.moments),
            ids,
            [
                "CompleteMultipartUpload" if MULTIPART_MARK in etag else "PutObject"
                for etag in facts.etags
            ],
        )

    return parts


def _encoder(context: EventContext) -> Encoder:
    return Encoder(parts=objects_created(context), identifier_in_event=uuid_of, head="", tail="")


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
