"""What a run takes from its delivery: what calls look like, and which items are sent at all."""

import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from include.retrofill.model.config import RunConfig
from include.retrofill.model.delivery import Delivery
from include.retrofill.pipeline.deliver import compile_delivery, passes
from tests.unit.test_events import ITEM

CONFIG = RunConfig.from_params({"bucket": "photos", "prefix": "in/", "function": "f"})
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:new-photos"
WHOLE = ITEM._replace(etag="b21b84d653bb07b05b1e6b33684dc11b")
IN_PARTS = ITEM._replace(etag="b21b84d653bb07b05b1e6b33684dc11b-2")


@pytest.mark.parametrize(
    ("events", "sent"),
    [
        ((), [True, True]),
        (("s3:ObjectCreated:*",), [True, True]),
        (("s3:ObjectRemoved:*", "s3:ObjectCreated:*"), [True, True]),
        (("s3:ObjectCreated:Put",), [True, False]),
        (("s3:ObjectCreated:Post", "s3:ObjectCreated:Copy"), [True, False]),
        (("s3:ObjectCreated:CompleteMultipartUpload",), [False, True]),
        (("s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"), [True, True]),
    ],
)
def test_objects_that_came_as_the_trigger_wants_are_sent(
    events: Sequence[str], sent: list[bool]
) -> None:
    delivery = Delivery(event="s3", items_per_call=1, answer="return", events=tuple(events))
    shape = compile_delivery(CONFIG, delivery, ARN, job="j", run_id=1)
    sends = passes(delivery, shape)
    assert [sends is None or sends(item) for item in (WHOLE, IN_PARTS)] == sent


@pytest.mark.parametrize(
    ("known", "told"),
    [(f"{TOPIC}:21be56ed", f"{TOPIC}:21be56ed"), ("", f"{TOPIC}:{UUID(int=0)}")],
)
def test_the_subscription_is_made_up_only_where_it_is_not_known(known: str, told: str) -> None:
    delivery = Delivery(
        event="s3-sns", items_per_call=1, answer="return", topic_arn=TOPIC, subscription_arn=known
    )
    shape = compile_delivery(CONFIG, delivery, ARN, job="j", run_id=1)
    record = json.loads(shape.record(ITEM))
    assert record["EventSubscriptionArn"] == told
    assert record["Sns"]["UnsubscribeUrl"].endswith(f"&SubscriptionArn={told}")
