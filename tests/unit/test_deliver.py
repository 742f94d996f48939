"""How a run's delivery shapes its calls."""

import json

import pytest
from retrofill.config import params_for
from retrofill.events.synthetic import UUID, one_id
from retrofill.model.delivery import Delivery
from retrofill.pipeline.deliver import compile_delivery
from retrofill.triggers.trigger import LiveTrigger

from tests.given import pinned
from tests.unit.test_events import ITEM

CONFIG = params_for("s3").config({"bucket": "photos", "prefix": "in/", "function": "f"})
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:new-photos"


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        (f"{TOPIC}:21be56ed", f"{TOPIC}:21be56ed"),
        ("", f"{TOPIC}:{one_id(UUID, 'subscription', TOPIC)}"),
    ],
)
def test_the_subscription_is_synthetic_only_if_it_is_not_known(known: str, sent: str) -> None:
    delivery = Delivery(
        event="s3-sns",
        items_per_call=1,
        answer="return",
        trigger=LiveTrigger(topic_arn=TOPIC, subscription_arn=known).as_json(),
    )
    shape = compile_delivery(CONFIG, delivery, pinned(ARN), job="j", run_id=1)
    record = json.loads(shape.record(ITEM))
    assert record["EventSubscriptionArn"] == sent
    assert record["Sns"]["UnsubscribeUrl"].endswith(f"&SubscriptionArn={sent}")
