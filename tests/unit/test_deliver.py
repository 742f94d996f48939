"""Which items a live trigger would send, by what their listing tells."""

from collections.abc import Sequence

import pytest

from include.retrofill.model.config import RunConfig
from include.retrofill.model.delivery import Delivery
from include.retrofill.pipeline.deliver import compile_delivery, passes
from tests.unit.test_events import ITEM

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
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
    config = RunConfig.from_params({"bucket": "photos", "prefix": "in/", "function": "f"})
    delivery = Delivery(event="s3", items_per_call=1, answer="return", events=tuple(events))
    shape = compile_delivery(config, delivery, ARN, job="j", run_id=1)
    sends = passes(delivery, shape)
    assert [sends is None or sends(item) for item in (WHOLE, IN_PARTS)] == sent
