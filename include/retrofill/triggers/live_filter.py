"""The live filter: the items that a live trigger would send, as far as a listing shows."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrofill.aws.objects import unpack
from retrofill.events import SHAPES, CompiledShape
from retrofill.events.s3.imitation import Imitation
from retrofill.model.delivery import Delivery
from retrofill.model.items import Item
from retrofill.triggers.patterns import Test, compile_pattern
from retrofill.triggers.trigger import LiveTrigger, Rule


def passes(delivery: Delivery, shape: CompiledShape) -> Callable[[Item], bool] | None:
    """Return a check if the live trigger would send an item; None: it sends all.

    :raises ConfigError: a pattern is malformed, or has an unknown operator
    """
    if not delivery.trigger:
        return None
    live = LiveTrigger.from_json(delivery.trigger)
    imitation: Imitation = SHAPES[delivery.event].imitation
    tests: list[Test] = []
    if live.filter_policy:
        tests.append(_of_event(compile_pattern(live.filter_policy), imitation))
    if live.rules:
        tests.append(_of_event(_by_rules(live.rules), imitation))
    if live.patterns:
        tests.append(_by_mapping(live.patterns))
    configurations = live.configurations
    sends_all = not configurations or any(one.sends_all for one in configurations)
    if sends_all and not tests:
        return None

    checks = [one.sends() for one in configurations]

    def sends(item: Item) -> bool:
        etag = unpack(item.content).etag
        if not (sends_all or any(one(item.key, etag) for one in checks)):
            return False
        if not tests:
            return True
        record = json.loads(shape.record(item))
        return all(test(record) for test in tests)

    return sends


def _of_event(matches: Test, imitation: Imitation) -> Test:
    """Test the sender's event, as a rule or topic does, without envelopes.

    SNS documents that it compares numbers up to a billion, and nothing about larger ones, such as
    the sizes of large objects. Here they are compared.
    https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
    """

    def lets_through(record: Any) -> bool:
        for name in imitation.event_path:
            inner = record[name]
            record = json.loads(inner) if isinstance(inner, str) else inner
        return matches(record)

    return lets_through


def _by_rules(rules: Sequence[Rule]) -> Test:
    compiled = [[compile_pattern(pattern) for pattern in rule] for rule in rules]
    return lambda event: any(all(matches(event) for matches in rule) for rule in compiled)


def _by_mapping(filters: Sequence[Mapping[str, Any]]) -> Test:
    """Test a queue's message, whose body Lambda reads as JSON.

    Lambda does not parse texts inside it, such as the message in the envelope of a topic.
    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
    """
    compiled = [compile_pattern(pattern) for pattern in filters]

    def lets_through(record: Any) -> bool:
        seen = {**record, "body": json.loads(record["body"])}
        return any(matches(seen) for matches in compiled)

    return lets_through
