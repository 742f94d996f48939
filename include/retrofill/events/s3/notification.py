"""The S3 event notification: the record that S3 sends for a created object."""

from collections.abc import Sequence

from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.aws.objects import unpack_all
from retrofill.events.context import EventContext
from retrofill.events.fields import json_insides, json_string, times_of
from retrofill.events.s3.configuration import notifying_ids
from retrofill.events.s3.context import S3Context
from retrofill.events.s3.fields import (
    HOST_ID,
    MULTIPART_MARK,
    PRINCIPAL,
    REQUEST_ID,
    SOURCE_IP,
    form_encoded,
    form_encoded_all,
)
from retrofill.events.s3.form import OBJECTS
from retrofill.events.s3.imitation import Imitation, Sender
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.synthetic import of_item
from retrofill.events.template import HOLE, filled
from retrofill.model.items import Item, ItemColumns

EVENT_VERSION = "2.1"
"""The version that is written. Later 2.x versions only add fields that a listing cannot provide."""

HEAD = '{"Records":['
TAIL = "]}"


def notification_parts(context: EventContext) -> Parts:
    """Return the function that writes the records of items.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    s3 = S3Context.of(context)
    request_ids = context.ids(REQUEST_ID, "x-amz-request-id")
    host_ids = context.ids(HOST_ID, "x-amz-id-2")
    several = len(s3.configurations) > 1
    configuration_id = HOLE if several else json_string(s3.configurations[0].id)
    template = (
        f'{{"eventVersion":"{EVENT_VERSION}","eventSource":"aws:s3"'
        f',"awsRegion":{json_string(s3.region)}'
        f',"eventTime":"{HOLE}","eventName":"ObjectCreated:{HOLE}"'
        f',"userIdentity":{{"principalId":"AWS:{PRINCIPAL}"}}'
        f',"requestParameters":{{"sourceIPAddress":"{SOURCE_IP}"}}'
        f',"responseElements":{{"x-amz-request-id":"{HOLE}","x-amz-id-2":"{HOLE}"}}'
        ',"s3":{"s3SchemaVersion":"1.0"'
        f',"configurationId":{configuration_id}'
        f',"bucket":{{"name":{json_string(s3.bucket)}'
        f',"ownerIdentity":{{"principalId":{json_string(s3.owner_id)}}}'
        f',"arn":{json_string(s3.bucket_arn)}}}'
        f',"object":{{"key":"{HOLE}","size":{HOLE},"eTag":"{HOLE}"{HOLE},"sequencer":"{HOLE}"}}}}}}'
    )
    fill, ids = filled(template), notifying_ids(s3.configurations)

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        facts = unpack_all(columns.contents)
        times, sequencers = times_of(facts.timestamps)
        return fill(
            times,
            _kinds(facts.etags),
            request_ids(columns.identifiers),
            host_ids(columns.identifiers),
            *([list(map(json_string, ids(columns.keys, facts.etags)))] if several else ()),
            form_encoded_all(columns.keys),
            facts.sizes,
            json_insides(facts.etags),
            _versions(facts.version_ids),
            sequencers,
        )

    return parts


def _kinds(etags: Sequence[str]) -> list[str]:
    if MULTIPART_MARK not in "".join(etags):
        return ["Put"] * len(etags)
    return ["CompleteMultipartUpload" if MULTIPART_MARK in etag else "Put" for etag in etags]


def _versions(version_ids: Sequence[str]) -> list[str]:
    if not any(version_ids):
        return [""] * len(version_ids)
    return [f',"versionId":{json_string(one)}' if one else "" for one in version_ids]


def _encoder(context: EventContext) -> Encoder:
    return Encoder(
        parts=notification_parts(context),
        identifier_in_event=of_item(context.ids(REQUEST_ID, "x-amz-request-id")),
        head=HEAD,
        tail=TAIL,
    )


NOTIFICATION = Sender(
    parts=notification_parts,
    head=HEAD,
    tail=TAIL,
    subject="Amazon S3 Notification",
    key_path=("Records", "s3", "object", "key"),
    spell=form_encoded,
    synthetic=frozenset(
        {"principalId", "sequencer", "sourceIPAddress", "x-amz-id-2", "x-amz-request-id"}
    ),
    uploads={"eventName": ("ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:Copy")},
)
"""S3 itself, by the bucket's notification configurations."""

S3 = EventShape(
    name="s3",
    words="**s3** the S3 notification",
    imitates="bucket → function",
    found_by="the bucket's notification configuration",
    encoder=_encoder,
    forms=OBJECTS,
    carried_by=CARRIED_BY_LAMBDA,
    imitation=Imitation(sender=NOTIFICATION),
)
