"""How a run's items reach its function: found before the run is opened, used by its tasks."""

import json
import logging
from collections.abc import Callable
from typing import Any

from retrofill.config import RunConfig
from retrofill.events import CompiledShape, EventContext, compile_shape
from retrofill.model.delivery import Delivery
from retrofill.model.function import FunctionVersion
from retrofill.model.runs import Run
from retrofill.triggers.choose import (
    choose,
    delivery_as_asked,
    delivery_like,
    is_looked_up,
)
from retrofill.triggers.find import find_triggers

log = logging.getLogger(__name__)


def find_delivery(
    config: RunConfig, client: Callable[[str], Any], function: FunctionVersion
) -> Delivery:
    """Return the delivery that is asked for, or that of the live trigger.

    :param client: returns a boto3 client by its service's name
    :raises ConfigError: there is no live trigger to imitate, or more than one; or it may not be
        looked up
    :raises SourceError: AWS gave no answer
    """
    if not is_looked_up(config.event):
        return delivery_as_asked(config)
    found = find_triggers(client, config.bucket, function)
    trigger = choose(found.triggers, found.others, config, function.arn)
    delivery = delivery_like(trigger, config)
    log.info(
        "live trigger: %s by %s; %d items per call, answers read as %s%s%s",
        trigger.event,
        trigger.way,
        delivery.items_per_call,
        delivery.answer,
        f"; only messages like {json.dumps(policy)}" if (policy := delivery.filter_policy) else "",
        f"; only events like {json.dumps(delivery.patterns)}" if delivery.patterns else "",
    )
    for other in found.others:
        log.info("not imitated: %s", other)
    return delivery


def shape_of(config: RunConfig, run: Run) -> CompiledShape:
    """Compile the event shape of a run.

    :raises ConfigError: the shape lacks what it needs, or has no place for what is given
    """
    return compile_delivery(config, run.delivery, run.function_arn, job=run.job, run_id=run.run_id)


def compile_delivery(
    config: RunConfig, delivery: Delivery, function_arn: str, *, job: str, run_id: int
) -> CompiledShape:
    """Compile the event shape of a delivery.

    :raises ConfigError: the shape lacks what it needs, or has no place for what is given
    """
    _, _, _, region, account, *_ = function_arn.split(":")
    return compile_shape(
        delivery.event,
        EventContext(
            bucket=config.bucket,
            region=region,
            account_id=account,
            bucket_owner=account,
            configuration_id=delivery.configuration_id,
            function_arn=function_arn,
            job=job,
            run_id=run_id,
            queue_arn=delivery.queue_arn,
            topic_arn=delivery.topic_arn,
            subscription_arn=delivery.subscription_arn,
            arguments=config.arguments or {},
        ),
    )
