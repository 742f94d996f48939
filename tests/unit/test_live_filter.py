"""Which items a live trigger would send, judged by their listing."""

from collections.abc import Sequence
from typing import Any

import pytest
from retrofill.events import compile_shape
from retrofill.events.s3.configuration import Configuration
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError
from retrofill.triggers.live_filter import passes
from retrofill.triggers.trigger import LiveTrigger

from tests.unit.test_events import CONTEXT, FACTS, ITEM, changed

WHOLE = changed(ITEM, etag="b21b84d653bb07b05b1e6b33684dc11b")
IN_PARTS = changed(ITEM, etag="b21b84d653bb07b05b1e6b33684dc11b-2")
SMALL, LARGE = changed(ITEM, size=10), changed(ITEM, size=1_000)
OF_A_QUEUE = ("s3-sqs", "s3-sns-sqs", "eventbridge-sqs", "eventbridge-sns-sqs")
OF_A_RULE = ("eventbridge", "eventbridge-sqs", "eventbridge-sns", "eventbridge-sns-sqs")


def sent(event: str, *items: Any, **filters: Any) -> list[bool] | None:
    """Return whether each item is sent; None: all are."""
    queue = FACTS["queue_arn"] if event in OF_A_QUEUE else ""
    live = LiveTrigger(queue_arn=queue, **filters).as_json()
    delivery = Delivery(event=event, items_per_call=1, answer="return", trigger=live)
    sends = passes(delivery, compile_shape(event, CONTEXT))
    return None if sends is None else [sends(item) for item in items]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), None),
        (("s3:ObjectCreated:*",), None),
        (("s3:ObjectRemoved:*", "s3:ObjectCreated:*"), None),
        (("s3:ObjectCreated:Put",), [True, False]),
        (("s3:ObjectCreated:Post", "s3:ObjectCreated:Copy"), [True, False]),
        (("s3:ObjectCreated:CompleteMultipartUpload",), [False, True]),
        (("s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"), None),
    ],
)
def test_objects_created_as_the_trigger_expects_are_sent(
    events: Sequence[str], expected: list[bool] | None
) -> None:
    live = Configuration(events=tuple(events))
    assert sent("s3", WHOLE, IN_PARTS, configurations=(live,)) == expected


def test_an_object_that_matches_any_configuration_is_sent() -> None:
    configurations = (
        Configuration(id="jpg", prefix="in/", suffix=".jpg"),
        Configuration(id="png", suffix=".png", events=("s3:ObjectCreated:Put",)),
    )
    keys = ["in/a.jpg", "a.jpg", "a.png"]
    items = [WHOLE._replace(key=key) for key in keys] + [IN_PARTS._replace(key="a.png")]
    assert sent("s3-sqs", *items, configurations=configurations) == [True, False, True, False]
    every = (*configurations, Configuration(id="all"))
    assert sent("s3-sqs", *items, configurations=every) is None


@pytest.mark.parametrize("event", ["s3-sqs", "s3-sns", "s3-sns-sqs"])
def test_a_topic_policy_filters_the_notification(event: str) -> None:
    policy = {
        "Records": {
            "eventName": [{"prefix": "ObjectCreated:"}],
            "s3": {"object": {"key": [{"suffix": ".jpg"}], "size": [{"numeric": ["<", 100]}]}},
        }
    }
    text = SMALL._replace(key="in/a.txt")
    assert sent(event, SMALL, LARGE, text, filter_policy=policy) == [True, False, False]


def test_a_mapping_filter_filters_the_body() -> None:
    size = {"object": {"size": [{"numeric": ["<", 100]}]}}
    assert sent("s3-sqs", SMALL, LARGE, patterns=({"body": {"Records": {"s3": size}}},)) == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"body": {"TopicArn": [FACTS["topic_arn"]]}}, True),
        # Lambda does not parse JSON inside the JSON of a body.
        ({"body": {"Message": {"Records": {"eventSource": ["aws:s3"]}}}}, False),
        # A filter for plain-text bodies drops JSON bodies.
        ({"body": [{"prefix": "{"}]}, False),
    ],
)
def test_a_mapping_filter_behind_a_topic_sees_the_envelope(
    pattern: dict[str, Any],
    expected: bool,  # noqa: FBT001  a parameter
) -> None:
    assert sent("s3-sns-sqs", SMALL, patterns=(pattern,)) == [expected]


def test_policy_and_filter_must_both_let_an_item_through() -> None:
    policy = {"Records": {"s3": {"object": {"size": [{"numeric": ["<", 100]}]}}}}
    here, elsewhere = ({"body": {"Type": [kind]}} for kind in ("Notification", "other"))
    both = sent("s3-sns-sqs", SMALL, LARGE, filter_policy=policy, patterns=(elsewhere, here))
    assert both == [True, False]
    assert sent("s3-sns-sqs", SMALL, filter_policy=policy, patterns=(elsewhere,)) == [False]


@pytest.mark.parametrize("event", OF_A_RULE)
def test_a_rule_pattern_filters_the_event(event: str) -> None:
    pattern = {"detail": {"object": {"size": [{"numeric": ["<", 100]}]}}}
    assert sent(event, SMALL, LARGE, rules=((pattern,),)) == [True, False]


def test_one_rule_must_match_with_all_its_patterns() -> None:
    small = {"detail.object.size": [{"numeric": ["<", 100]}]}
    large, ours = {"detail.object.size": [{"numeric": [">", 100]}]}, {"source": ["aws.s3"]}
    assert sent("eventbridge", SMALL, LARGE, rules=((ours, small), (large,))) == [True, True]
    assert sent("eventbridge", SMALL, LARGE, rules=((ours, small), (small, large))) == [True, False]


def test_a_mapping_filter_behind_a_rule_filters_the_body() -> None:
    size = {"body": {"detail": {"object": {"size": [{"numeric": ["<", 100]}]}}}}
    assert sent("eventbridge-sqs", SMALL, LARGE, rules=(({},),), patterns=(size,)) == [True, False]


def test_an_unknown_operator_in_a_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="the unknown operator 'soundslike' for 'kind'"):
        sent("s3-sns", filter_policy={"kind": [{"soundslike": "x"}]})
