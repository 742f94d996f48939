"""The envelopes that SNS and SQS put around an event on its way to the function."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from retrofill.aws.arn import Arn
from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.aws.objects import unpack_all
from retrofill.events.context import EventContext
from retrofill.events.fields import all_to_milliseconds, epoch_milliseconds, json_string
from retrofill.events.s3.context import S3Context
from retrofill.events.s3.eventbridge import RULE
from retrofill.events.s3.fields import PRINCIPAL
from retrofill.events.s3.form import OBJECTS
from retrofill.events.s3.imitation import Imitation, Relay, Sender, Writer
from retrofill.events.s3.notification import HEAD, NOTIFICATION, TAIL
from retrofill.events.shape import Encoder, EventShape, Parts
from retrofill.events.synthetic import BASE64, UUID, Ids, letters, of_item, one_id
from retrofill.events.template import HOLE, filled, records_of
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item, ItemColumns

RECEIPT = letters(BASE64, 320, prefix="AQEB")
SIGNATURE = letters(BASE64, 341, suffix="A==")

RECEIPT_HINTS = dict.fromkeys(
    ("ReceiptHandleIsInvalid", "MessageNotInflight", "ReceiptHandle"),
    "the receipt handle is synthetic, because these messages are in no queue: the function cannot"
    " delete them or extend their visibility; leave that to Lambda, or ignore this error",
)
"""Explanations of SQS's errors for a message that was never in a queue.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
"""


def sent_times(items: Sequence[Item]) -> list[str]:
    """Return when the message of each object was sent: when the object was written."""
    return list(map(epoch_milliseconds, unpack_all(ItemColumns.of(items).contents).timestamps))


def sqs_parts(
    context: EventContext, queue_arn: str, texts: Writer, times: Writer = sent_times
) -> Parts:
    """Return the function that writes SQS messages to Lambda, with texts as their bodies.

    The receipt handle opens no queue: the message was never in one.
    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html

    :param times: returns when each was sent, in milliseconds since 1970
    :raises ConfigError: ``queue_arn`` is not the ARN of a queue
    """
    region = regional_arn("queue_arn", queue_arn, "sqs").region
    message_ids = queue_ids(context)
    receipts = context.ids(RECEIPT, "receiptHandle")
    fill = filled(
        f'{{"messageId":"{HOLE}","receiptHandle":"{HOLE}"'
        f',"body":{HOLE},"attributes":{{"ApproximateReceiveCount":"1","SentTimestamp":"{HOLE}"'
        f',"SenderId":"{PRINCIPAL}","ApproximateFirstReceiveTimestamp":"{HOLE}"}}'
        f',"messageAttributes":{{}},"md5OfBody":"{HOLE}","eventSource":"aws:sqs"'
        f',"eventSourceARN":{json_string(queue_arn)},"awsRegion":{json_string(region)}}}'
    )

    def parts(items: Sequence[Item]) -> list[str]:
        identifiers = ItemColumns.of(items).identifiers
        bodies, sent = texts(items), times(items)
        return fill(
            message_ids(identifiers),
            receipts(identifiers),
            list(map(json_string, bodies)),
            sent,
            sent,
            list(map(_md5, bodies)),
        )

    return parts


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sns_parts(context: EventContext, sender: Sender) -> Parts:
    """Return the function that writes SNS messages to Lambda.

    The signature is synthetic: a function that verifies it will refuse the event.
    https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html lists the fields. Their order is that
    of logged events.

    :raises ConfigError: the context names no topic
    """
    s3 = S3Context.of(context)
    region = regional_arn("topic_arn", s3.topic_arn, "sns").region
    subject = json_string(sender.subject) if sender.subject else "null"
    return _published(
        context,
        '{"EventSource":"aws:sns","EventVersion":"1.0"'
        f',"EventSubscriptionArn":{json_string(_subscription_arn(s3))}'
        f',"Sns":{{"Type":"Notification","MessageId":"{HOLE}"'
        f',"TopicArn":{json_string(s3.topic_arn)},"Subject":{subject}'
        f',"Message":{HOLE},"Timestamp":"{HOLE}","SignatureVersion":"1"'
        f',"Signature":"{HOLE}"'
        f',"SigningCertUrl":{json_string(_certificate_url(region))}'
        f',"UnsubscribeUrl":{json_string(_unsubscribe_url(region, s3))}'
        ',"MessageAttributes":{}}}',
        sender,
    )


def sns_texts(context: EventContext, sender: Sender) -> Writer:
    """Return the function that writes SNS messages to SQS (not raw ones), with their spaces.

    https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html

    :raises ConfigError: the context names no topic
    """
    s3 = S3Context.of(context)
    region = regional_arn("topic_arn", s3.topic_arn, "sns").region
    subject = f'  "Subject" : {json_string(sender.subject)},\n' if sender.subject else ""
    parts = _published(
        context,
        f'{{\n  "Type" : "Notification",\n  "MessageId" : "{HOLE}",\n'
        f'  "TopicArn" : {json_string(s3.topic_arn)},\n{subject}'
        f'  "Message" : {HOLE},\n  "Timestamp" : "{HOLE}",\n  "SignatureVersion" : "1",\n'
        f'  "Signature" : "{HOLE}",\n'
        f'  "SigningCertURL" : {json_string(_certificate_url(region))},\n'
        f'  "UnsubscribeURL" : {json_string(_unsubscribe_url(region, s3))}\n}}',
        sender,
    )
    return lambda items: records_of(parts(items), len(items))


def _published(context: EventContext, template: str, sender: Sender) -> Parts:
    """Return the function that writes a topic's messages: id, message, time and signature."""
    fill, texts, message_ids = filled(template), sender.texts(context), _topic_ids(context)
    signatures = context.ids(SIGNATURE, "Signature")

    def parts(items: Sequence[Item]) -> list[str]:
        columns = ItemColumns.of(items)
        return fill(
            message_ids(columns.identifiers),
            list(map(json_string, texts(columns))),
            all_to_milliseconds(unpack_all(columns.contents).timestamps),
            signatures(columns.identifiers),
        )

    return parts


def regional_arn(field: str, text: str, service: str, resource: str = "name") -> Arn:
    """Return the ARN of a resource that an event shape needs.

    :param field: the field that contains it, for the message
    :param resource: an example of such a resource, for the message
    :raises ConfigError: it is not an ARN of this service, with a region
    """
    found = Arn.find(text)
    if found is None or found.service != service or not found.region:
        raise ConfigError(
            f"{field}: {text!r} is not allowed for this event shape; give an ARN such as"
            f" arn:aws:{service}:eu-west-1:123456789012:{resource}"
        )
    return found


def _subscription_arn(s3: S3Context) -> str:
    # The topic's own policy may hide its subscriptions.
    return s3.subscription_arn or f"{s3.topic_arn}:{one_id(UUID, 'subscription', s3.topic_arn)}"


def _certificate_url(region: str) -> str:
    return f"https://sns.{region}.amazonaws.com/SimpleNotificationService-{'0' * 32}.pem"


def _unsubscribe_url(region: str, s3: S3Context) -> str:
    arn = _subscription_arn(s3)
    return f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={arn}"


def queue_ids(context: EventContext) -> Ids:
    """Return what makes synthetic ids of messages in a queue."""
    return context.ids(UUID, "messageId")


def _topic_ids(context: EventContext) -> Ids:
    return context.ids(UUID, "MessageId")


def enveloped(parts: Parts, message_ids: Ids) -> Encoder:
    """Return the encoder of records that responses name by their message ids."""
    return Encoder(parts=parts, identifier_in_event=of_item(message_ids), head=HEAD, tail=TAIL)


def _via_queue(texts: Callable[[EventContext], Writer]) -> Callable[[EventContext], Encoder]:
    def encoder(context: EventContext) -> Encoder:
        queue_arn = S3Context.of(context).queue_arn
        return enveloped(sqs_parts(context, queue_arn, texts(context)), queue_ids(context))

    return encoder


def _via_topic(sender: Sender) -> Callable[[EventContext], Encoder]:
    return lambda context: enveloped(sns_parts(context, sender), _topic_ids(context))


def _via_topic_and_queue(sender: Sender) -> Callable[[EventContext], Encoder]:
    return _via_queue(partial(sns_texts, sender=sender))


QUEUE_ITEMS = 10
"""How many messages Lambda takes from a queue for one call by default."""

QUEUE_ANSWERS = (Contract.BATCH_ITEM_FAILURES, Contract.RETURN)
"""A function behind a queue may list failures; other contracts would count them as successes."""


def _by_queue(sender: Sender) -> Imitation:
    relays = (Relay.QUEUE, Relay.RAW_TOPIC_AND_QUEUE)
    return Imitation(sender=sender, relays=relays, event_path=("body",))


def _by_topic(sender: Sender) -> Imitation:
    return Imitation(sender=sender, relays=(Relay.TOPIC,), event_path=("Sns", "Message"))


def _by_topic_and_queue(sender: Sender) -> Imitation:
    return Imitation(
        sender=sender,
        relays=(Relay.TOPIC_AND_QUEUE,),
        event_path=("body", "Message"),
        synthetic_in_envelope=frozenset(
            {"MessageId", "Signature", "SigningCertURL", "UnsubscribeURL"}
        ),
    )


S3_SNS = EventShape(
    name="s3-sns",
    words="**s3-sqs**, **s3-sns** and **s3-sns-sqs** the same via a queue or topic",
    imitates="bucket → topic → function",
    found_by="the same, and the topic's subscriptions",
    encoder=_via_topic(NOTIFICATION),
    forms=OBJECTS,
    carried_by=CARRIED_BY_LAMBDA,
    needs_trigger=True,
    imitation=_by_topic(NOTIFICATION),
)
S3_SQS = replace(
    S3_SNS,
    name="s3-sqs",
    imitates="bucket → queue → function, or with a topic that delivers raw messages before the"
    " queue",
    found_by="the same, and the queue's event source mappings",
    encoder=_via_queue(NOTIFICATION.texts),
    hints=RECEIPT_HINTS,
    default_items=QUEUE_ITEMS,
    answers=QUEUE_ANSWERS,
    imitation=_by_queue(NOTIFICATION),
)
S3_SNS_SQS = replace(
    S3_SQS,
    name="s3-sns-sqs",
    imitates="bucket → topic → queue → function",
    found_by="all of these",
    encoder=_via_topic_and_queue(NOTIFICATION),
    imitation=_by_topic_and_queue(NOTIFICATION),
)
EVENTBRIDGE_SQS = replace(
    S3_SQS,
    name="eventbridge-sqs",
    words="**eventbridge-sqs**, **eventbridge-sns** and **eventbridge-sns-sqs** the same via a"
    " queue or topic",
    imitates="bucket → EventBridge → queue → function, or with a topic that delivers raw messages"
    " before the queue",
    found_by="the same rules, and the queue's event source mappings",
    encoder=_via_queue(RULE.texts),
    imitation=_by_queue(RULE),
)
EVENTBRIDGE_SNS = replace(
    S3_SNS,
    name="eventbridge-sns",
    words=EVENTBRIDGE_SQS.words,
    imitates="bucket → EventBridge → topic → function",
    found_by="the same rules, and the topic's subscriptions",
    encoder=_via_topic(RULE),
    imitation=_by_topic(RULE),
)
EVENTBRIDGE_SNS_SQS = replace(
    EVENTBRIDGE_SQS,
    name="eventbridge-sns-sqs",
    imitates="bucket → EventBridge → topic → queue → function",
    encoder=_via_topic_and_queue(RULE),
    found_by="all of these",
    imitation=_by_topic_and_queue(RULE),
)
