"""Which items a live trigger would send, by what a listing tells of them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from retrofill.aws.objects import unpack
from retrofill.events import SHAPES, CompiledShape
from retrofill.events.s3.fields import MULTIPART_MARK
from retrofill.events.s3.imitation import Imitation
from retrofill.model.delivery import Delivery
from retrofill.model.items import Item
from retrofill.triggers.patterns import Test, compile_pattern
from retrofill.triggers.trigger import LiveTrigger


def passes(delivery: Delivery, shape: CompiledShape) -> Callable[[Item], bool] | None:
    """Return what tells whether the live trigger would send an item; None: it sends all.

    :raises ConfigError: a pattern is malformed, or has an operator that is not known
    """
    if not delivery.trigger:
        return None
    live = LiveTrigger.from_json(delivery.trigger)
    whole, in_parts = _uploads_sent(live.events)
    tests: list[Test] = []
    if live.filter_policy:
        tests.append(_by_policy(live, SHAPES[delivery.event].imitation))
    if live.patterns:
        tests.append(_by_patterns(live))
    if whole and in_parts and not (live.prefix or live.suffix or tests):
        return None

    def sends(item: Item) -> bool:
        if not (item.key.startswith(live.prefix) and item.key.endswith(live.suffix)):
            return False
        if not (in_parts if MULTIPART_MARK in unpack(item.content).etag else whole):
            return False
        if not tests:
            return True
        record = json.loads(shape.record(item))
        return all(test(record) for test in tests)

    return sends


def _by_policy(live: LiveTrigger, imitation: Imitation) -> Test:
    """Test the notification, as the topic does before it puts an envelope around it.

    SNS says that it compares numbers up to a billion, and not what becomes of larger ones, such as
    the sizes of large objects: here they are compared.
    https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
    """
    matches = compile_pattern(live.filter_policy)
    path = imitation.notification_path

    def lets_through(record: Any) -> bool:
        for name in path:
            inner = record[name]
            record = json.loads(inner) if isinstance(inner, str) else inner
        return matches(record)

    return lets_through


def _by_patterns(live: LiveTrigger) -> Test:
    """Test the event of a rule, or a queue's message, of which Lambda reads the body as JSON.

    It reads no text inside of that: not the message in the envelope of a topic.
    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
    """
    patterns = [compile_pattern(pattern) for pattern in live.patterns]

    def lets_through(record: Any) -> bool:
        seen = {**record, "body": json.loads(record["body"])} if live.queue_arn else record
        return any(matches(seen) for matches in patterns)

    return lets_through


def _uploads_sent(events: Sequence[str]) -> tuple[bool, bool]:
    """Return whether objects that came whole, and in parts, are sent by a trigger of these events.

    How a whole one came (put, posted or copied) no listing tells.
    """
    kinds = {event.rpartition(":")[2] for event in events if event.startswith("s3:ObjectCreated:")}
    every = not kinds or "*" in kinds
    return every or not kinds <= {"CompleteMultipartUpload"}, every or (
        "CompleteMultipartUpload" in kinds
    )
