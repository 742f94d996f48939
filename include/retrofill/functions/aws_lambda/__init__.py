"""Lambda: the control plane before the calls, and the data plane that makes them."""

import logging
from collections.abc import Mapping

from retrofill.aws.names import LAMBDA, LATEST
from retrofill.events.s3.form import OBJECTS
from retrofill.functions.aws_lambda.logs import log_link
from retrofill.functions.aws_lambda.outcomes import HINTS, classify
from retrofill.functions.aws_lambda.params import LambdaParams
from retrofill.functions.aws_lambda.preflight import (
    concurrency_ceiling,
    find_capacity,
    locate,
    preflight,
    require_switched_on,
)
from retrofill.functions.aws_lambda.prices import price
from retrofill.functions.aws_lambda.properties import EXECUTIONS
from retrofill.functions.aws_lambda.usage import usage
from retrofill.functions.client import Client
from retrofill.functions.kind import Asked, Capacity, FunctionKind
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.permission import Permission
from retrofill.params.calls import CallParams
from retrofill.triggers.imitate import imitate

log = logging.getLogger(__name__)


def _resolve(params: LambdaParams, asked: Asked) -> Pinned:
    client = asked.connections.aws(asked.aws_conn_id).client("lambda")
    live, wanted = asked.trigger.get("qualifier", ""), params.asked_qualifier
    if asked.trigger and wanted and wanted != (live or LATEST):
        log.warning(
            "function: the live trigger calls %s of %s, but this run calls %s, as requested",
            live or LATEST,
            params.name,
            wanted,
        )
    if live and not wanted:
        log.info("function: called as %s, like the live trigger does", live)
    function = preflight(client, params.name, wanted or live or None, params.tenant_id)
    require_switched_on(client, function.name)
    return function


def _ceiling(function: Pinned, reserve_percent: int, asked: Asked) -> int:
    client = asked.connections.aws(asked.aws_conn_id).client("lambda")
    return concurrency_ceiling(client, function.name, reserve_percent)


def _capacity(function: Pinned, asked: Asked) -> Capacity | None:
    client = asked.connections.aws(asked.aws_conn_id).client("lambda")
    return find_capacity(client, function.name)


def _find_delivery(
    params: LambdaParams,
    calls: CallParams,
    place: Mapping[str, str],
    asked: Asked,
) -> Delivery:
    session = asked.connections.aws(asked.aws_conn_id)
    arn = locate(session.client("lambda"), params.name, params.asked_qualifier)
    return imitate(session.client, place, arn, params.asked_qualifier, calls)


def _open(params: LambdaParams, function: Pinned, asked: Asked) -> Client:
    # It takes a tenth of a second, which only tasks that call need.
    from retrofill.functions.aws_lambda.client import open_client  # noqa: PLC0415

    session = asked.connections.aws(asked.aws_conn_id)
    return open_client(
        session.client("lambda"),
        verify=session.verify,
        function_timeout_s=function.timeout_s,
        credentials=session.credentials(),
        function_arn=function.name,
        qualifier=function.facts.get("qualifier", ""),
        tenant_id=params.tenant_id,
        executions=function.facts.get(EXECUTIONS, ""),
        reports_usage=asked.reports_usage,
    )


MAX_REQUEST_BYTES = 6_291_456
"""The maximum number of bytes that Lambda accepts in a synchronous call: 6 MB of 1,048,576 bytes.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

_FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:resize-image"
_ITS_VERSIONS = f"{_FUNCTION}:*"
_BUCKET = "arn:aws:s3:::my-photos"
_TOPIC = "arn:aws:sns:eu-central-1:123456789012:new-photos"
_RULES = "arn:aws:events:eu-central-1:123456789012:rule/*"
_LOOKED_UP = "for events whose live trigger is looked up"
_QUEUE = f"{_LOOKED_UP}, with a queue on the way"
_TOPICS = f"{_LOOKED_UP}, with a topic on the way"
_BUS = f"{_LOOKED_UP}, if the bucket sends to EventBridge"
_RESERVE = "for `reserve_percent`, and for the account's limit that `approve` shows"
_SWITCHED_OFF = (
    "for `reserve_percent` and `approve`; without it, only calls show that the function is"
    " switched off"
)

KIND = FunctionKind(
    name=LAMBDA,
    title="a Lambda function",
    params=LambdaParams,
    resolve=_resolve,
    open=_open,
    classify=classify,
    hints=HINTS,
    max_request_bytes=MAX_REQUEST_BYTES,
    ceiling=_ceiling,
    usage=usage,
    price=price,
    capacity=_capacity,
    log_link=log_link,
    find_delivery=_find_delivery,
    has_triggers_for=OBJECTS,
    permissions=(
        Permission("lambda:GetFunctionConfiguration", _FUNCTION, ""),
        Permission("lambda:GetFunctionConfiguration", _ITS_VERSIONS, "for a version or alias"),
        Permission("lambda:GetAlias", _FUNCTION, "for an alias"),
        Permission("lambda:GetAlias", _ITS_VERSIONS, "for an alias"),
        Permission("lambda:InvokeFunction", _FUNCTION, ""),
        Permission("lambda:InvokeFunction", _ITS_VERSIONS, ""),
        Permission("lambda:GetFunctionConcurrency", _FUNCTION, _SWITCHED_OFF),
        Permission("lambda:GetAccountSettings", "*", _RESERVE),
        Permission("s3:GetBucketNotification", _BUCKET, _LOOKED_UP),
        Permission("lambda:ListEventSourceMappings", "*", _QUEUE),
        Permission("pipes:ListPipes", "*", f"{_QUEUE}; without it, pipes are not named"),
        Permission("sns:ListSubscriptionsByTopic", _TOPIC, _TOPICS),
        Permission("sns:GetSubscriptionAttributes", _TOPIC, _TOPICS),
        Permission("events:ListRules", "*", _BUS),
        Permission("events:ListTargetsByRule", _RULES, _BUS),
    ),
)
