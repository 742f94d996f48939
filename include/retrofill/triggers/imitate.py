"""Look up a run's live trigger, and return the delivery that imitates it."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from retrofill.model.delivery import Delivery
from retrofill.params.calls import CallParams
from retrofill.triggers.choose import Wanted, choose, delivery_like
from retrofill.triggers.find import find_triggers
from retrofill.triggers.keys import keys_like

log = logging.getLogger(__name__)


def imitate(
    client: Callable[[str], Any],
    place: Mapping[str, str],
    function_arn: str,
    qualifier: str | None,
    calls: CallParams,
) -> Delivery:
    """Return the delivery of the live trigger from a bucket to a function.

    :param client: returns a boto3 client by its service's name
    :param place: the bucket, the prefix of its keys, and their pattern
    :param function_arn: without a qualifier
    :param qualifier: the version or alias that was requested
    :raises ConfigError: there is no live trigger to imitate, or more than one; or it may not be
        looked up
    :raises FunctionUnavailable: AWS did not answer
    """
    keys = keys_like(place["prefix"], place.get("key_glob"))
    wanted = Wanted(place["bucket"], keys, function_arn, qualifier or "")
    found = find_triggers(client, wanted.bucket, function_arn)
    trigger = choose(found.triggers, found.others, wanted, calls.event)
    delivery, live = delivery_like(trigger, calls), trigger.live
    log.info(
        "live trigger: %s via %s; %d items per call, answers read as %s%s",
        trigger.event,
        trigger.route,
        delivery.items_per_call,
        delivery.answer,
        "".join(
            f"; only {what} like {json.dumps(patterns)}"
            for what, patterns in (
                ("events", live.rules or live.filter_policy),
                ("messages", live.patterns),
            )
            if patterns
        ),
    )
    for other in found.others:
        log.info("not imitated: %s", other)
    return delivery
