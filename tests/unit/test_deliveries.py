"""Which delivery a run uses: given by params, or that of a live trigger."""

import json
from dataclasses import replace
from typing import Any

import pytest
from retrofill.config import RunConfig, params_for
from retrofill.events.s3.configuration import Configuration
from retrofill.functions.kind import Asked
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError
from retrofill.pipeline.deliver import find_delivery, is_looked_up
from retrofill.triggers.choose import Wanted, choose, delivery_like
from retrofill.triggers.keys import keys_like
from retrofill.triggers.trigger import LiveTrigger, Trigger

from tests.given import Given, s3_config

DIRECT = Trigger(
    event="s3",
    route="notification one",
    live=LiveTrigger(configurations=(Configuration(id="one", suffix=".jpg"),)),
)
RULED = Trigger(event="eventbridge", route="rule r", live=LiveTrigger(rules=(({},),)))
QUEUED = Trigger(
    event="s3-sqs",
    route="notification two, mapping three",
    live=LiveTrigger(
        configurations=(Configuration(id="two"),),
        queue_arn="arn:aws:sqs:us-east-1:123456789012:q",
        patterns=({"body": {"Records": {"eventSource": ["aws:s3"]}}},),
    ),
    batch_items=25,
    reports_failures=True,
)


def changed(trigger: Trigger, **live: Any) -> Trigger:
    return replace(trigger, live=replace(trigger.live, **live))


def told_of(*configurations: Configuration) -> Trigger:
    return changed(DIRECT, configurations=configurations)


def live_of(delivery: Delivery) -> LiveTrigger:
    return LiveTrigger.from_json(delivery.trigger)


def nobody(service: str) -> Any:
    raise AssertionError(service)


NOBODY = Asked(Given(nobody), "aws_default")


def config(**params: Any) -> RunConfig:
    return s3_config(**{"bucket": "photos", "prefix": "in/", "function": "f", **params})


def chosen(
    *triggers: Trigger,
    others: tuple[str, ...] = (),
    event: str = "auto",
    qualifier: str = "",
    key_glob: str | None = None,
) -> Trigger:
    wanted = Wanted("photos", keys_like("in/", key_glob), "arn:f", qualifier)
    return choose(triggers, others, wanted, event)


@pytest.mark.parametrize("event", ["s3", "eventbridge", "s3-batch-1.0", "s3-batch-2.0", "items"])
def test_a_concrete_event_needs_no_trigger(event: str) -> None:
    assert not is_looked_up(event)
    delivery = find_delivery(config(event=event), NOBODY)
    assert (delivery.event, delivery.items_per_call) == (event, 1)
    assert delivery.answer == ("s3-batch" if "batch" in event else "return")


@pytest.mark.parametrize("event", ["auto", "s3-sqs", "s3-sns", "s3-sns-sqs"])
def test_events_that_hold_an_arn_are_looked_up(event: str) -> None:
    assert is_looked_up(event)


def test_a_single_trigger_is_used() -> None:
    assert chosen(DIRECT) is DIRECT
    assert chosen(DIRECT, QUEUED, event="s3-sqs") is QUEUED


def test_without_a_trigger_the_refusal_lists_what_was_found() -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(others=("mapping x from arn:kinesis",))
    assert "there is no live trigger from bucket 'photos' to arn:f" in str(caught.value)
    assert "there is mapping x from arn:kinesis" in str(caught.value)
    with pytest.raises(ConfigError, match=r"of shape s3-sns .*; there is s3 via"):
        chosen(DIRECT, event="s3-sns")


def test_several_triggers_are_refused_and_all_are_listed() -> None:
    with pytest.raises(ConfigError, match="there are 2 live triggers") as caught:
        chosen(DIRECT, QUEUED)
    assert "s3 via notification one; s3-sqs via notification two" in str(caught.value)


def test_the_trigger_with_the_given_qualifier_is_used() -> None:
    of_alias = replace(DIRECT, qualifier="prod")
    assert chosen(DIRECT, of_alias, qualifier="prod") is of_alias
    assert chosen(DIRECT, of_alias) is chosen(DIRECT, of_alias, qualifier="$LATEST") is DIRECT
    assert chosen(of_alias, qualifier="7") is of_alias


def test_the_trigger_for_the_keys_of_the_run_is_used() -> None:
    other = told_of(Configuration(prefix="out/"))
    ours = told_of(Configuration(prefix="in/2025/"))
    assert chosen(other, ours) is ours
    with pytest.raises(ConfigError, match="there are 2 live triggers"):
        chosen(told_of(Configuration(prefix="in/2024/")), ours)
    jpg, png = told_of(Configuration(suffix=".jpg")), told_of(Configuration(suffix=".png"))
    assert chosen(jpg, png, key_glob="*.png") is png


@pytest.mark.parametrize(
    "trigger",
    [
        told_of(Configuration(prefix="out/")),
        told_of(Configuration(suffix=".png")),
        told_of(Configuration(prefix="out/"), Configuration(prefix="in/", suffix=".png")),
        changed(RULED, rules=(({"detail": {"object": {"key": [{"prefix": "out/"}]}}},),)),
        changed(RULED, rules=(({}, {"detail.object.key": ["in/a.png", "out/a.jpg"]}),)),
        changed(RULED, rules=(({"detail": {"object": {"key": [{"wildcard": "o*.jpg"}]}}},),)),
        changed(QUEUED, filter_policy={"Records": {"s3": {"object": {"key": ["x"]}}}}),
        changed(
            QUEUED,
            patterns=({"body": {"Records": {"s3": {"object": {"key": [{"suffix": "g.png"}]}}}}},),
        ),
    ],
)
def test_a_trigger_for_other_keys_is_not_used(trigger: Trigger) -> None:
    with pytest.raises(ConfigError, match=r"no live trigger for keys like 'in/\*\.jpg'") as caught:
        chosen(trigger, key_glob="*.jpg")
    assert chosen(replace(trigger, obstacle="x"), DIRECT, key_glob="*.jpg") is DIRECT
    assert f"there is {trigger.event} via {trigger.route}" in str(caught.value)
    assert "do not attach another: it would get each new object twice" in str(caught.value)


@pytest.mark.parametrize(
    "trigger",
    [
        told_of(Configuration(prefix="out/"), Configuration(prefix="in/2025/", suffix=".jpg")),
        told_of(Configuration(prefix="i", suffix="g")),
        changed(RULED, rules=(({"detail.object.key": [{"prefix": "out/"}]},), ({},))),
        changed(RULED, rules=(({"detail.object.key": [{"anything-but": ["in/a.jpg"]}]},),)),
        changed(RULED, rules=(({"detail.object.key": [{"wildcard": "in/*/cat.*"}]},),)),
        changed(RULED, rules=(({"detail.object.key": [{"equals-ignore-case": "IN/A.JPG"}]},),)),
        changed(
            QUEUED,
            patterns=({"body": {"Records": {"s3": {"object": {"key": [{"prefix": "in/a"}]}}}}},),
        ),
    ],
)
def test_a_trigger_that_may_send_some_of_the_keys_is_used(trigger: Trigger) -> None:
    assert chosen(trigger, key_glob="*.jpg|*.gif") is trigger


def test_only_a_function_without_triggers_is_asked_to_attach_one() -> None:
    with pytest.raises(ConfigError, match="Attach it first"):
        chosen()
    with pytest.raises(ConfigError, match="do not attach another") as caught:
        chosen(
            others=("EventBridge rule r to arn:aws:states:us-east-1:123456789012:stateMachine:s",)
        )
    assert "Attach it first" not in str(caught.value)


def test_a_trigger_that_cannot_be_imitated_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be imitated: its target has InputPath"):
        chosen(replace(DIRECT, obstacle="its target has InputPath"))


@pytest.mark.parametrize(
    ("field", "pattern"),
    [
        ("source-ip-address", {"detail": {"source-ip-address": [{"cidr": "10.0.0.0/8"}]}}),
        ("requester", {"detail": {"requester": [{"anything-but": "123456789012"}]}}),
        ("requester", {"$or": [{"source": ["aws.s3"]}, {"detail": {"requester": ["1"]}}]}),
        ("reason", {"detail": {"reason": ["CopyObject"]}}),
        ("reason", {"detail": {"reason": [{"anything-but": "PutObject"}]}}),
        ("eventName", {"body": {"Records": {"eventName": [{"suffix": ":Copy"}]}}}),
        ("principalId", {"body": {"Records": {"userIdentity": {"principalId": ["AWS:A"]}}}}),
        ("sequencer", {"detail.object.sequencer": [{"prefix": "00"}]}),
    ],
)
def test_a_pattern_on_fields_that_no_listing_has_is_refused(
    field: str, pattern: dict[str, Any]
) -> None:
    with pytest.raises(
        ConfigError, match=f"its pattern asks for '{field}', which a listing does not have"
    ):
        chosen(changed(DIRECT, patterns=({}, pattern)))
    with pytest.raises(
        ConfigError, match=f"its pattern asks for '{field}', which a listing does not have"
    ):
        chosen(changed(RULED, rules=(({},), ({}, pattern))))


def test_a_filter_policy_on_fields_that_no_listing_has_is_refused() -> None:
    policy = {"Records": {"requestParameters": {"sourceIPAddress": [{"cidr": "10.0.0.0/8"}]}}}
    with pytest.raises(ConfigError, match="its pattern asks for 'sourceIPAddress'"):
        chosen(replace(changed(DIRECT, filter_policy=policy), event="s3-sns"))


@pytest.mark.parametrize(
    "pattern",
    [
        {"detail": {"object": {"key": [{"prefix": "in/"}]}, "requester": [{"exists": True}]}},
        {"detail": {"reason": ["PutObject", "CopyObject"]}},
        {"detail": {"reason": ["CompleteMultipartUpload"]}},
        {"detail": {"reason": [{"anything-but": "CopyObject"}]}},
        {"body": {"Records": {"eventName": [{"prefix": "ObjectCreated:"}]}}},
    ],
)
def test_a_pattern_on_fields_of_a_listing_is_used(pattern: dict[str, Any]) -> None:
    trigger = changed(DIRECT, patterns=(pattern,))
    assert chosen(trigger) is trigger


def test_a_trigger_decides_everything_about_a_call() -> None:
    assert delivery_like(QUEUED, config().calls) == Delivery(
        event="s3-sqs",
        items_per_call=25,
        answer="batchItemFailures",
        trigger=QUEUED.live.as_json(),
    )
    unread = delivery_like(replace(QUEUED, reports_failures=False), config().calls)
    assert unread.answer == "return"
    direct = delivery_like(DIRECT, config().calls)
    assert direct.items_per_call == 1
    assert live_of(direct) == DIRECT.live


def test_given_params_override_the_trigger() -> None:
    asked = config(items_per_call=3, answer="return")
    delivery = delivery_like(QUEUED, asked.calls)
    assert (delivery.items_per_call, delivery.answer) == (3, "return")


def test_a_call_carries_at_most_what_the_found_shape_allows() -> None:
    with pytest.raises(ConfigError, match="items_per_call: 2 is not allowed; give at most 1"):
        delivery_like(RULED, config(items_per_call=2).calls)


def test_a_trigger_via_a_topic_gives_its_subscription_and_policy() -> None:
    topic, subscription = "arn:aws:sns:us-east-1:123456789012:t", "arn:aws:sns:of-it"
    policy = {"Records": {"s3": {"object": {"size": [{"numeric": [">", 0]}]}}}}
    relayed = Trigger(
        event="s3-sns",
        route="w",
        live=LiveTrigger(topic_arn=topic, subscription_arn=subscription, filter_policy=policy),
    )
    delivery = delivery_like(relayed, config().calls)
    assert live_of(delivery) == relayed.live
    assert Delivery.from_json(json.loads(json.dumps(delivery.as_json()))) == delivery


def test_the_target_of_a_trigger_is_shown_with_it() -> None:
    delivery = delivery_like(replace(DIRECT, qualifier="live"), config().calls)
    assert delivery.trigger["qualifier"] == live_of(delivery).qualifier == "live"


def test_a_delivery_survives_storage() -> None:
    several = (Configuration(id="a", events=("s3:ObjectCreated:*",)), Configuration(id="b"))
    live = changed(QUEUED, configurations=several, rules=(({}, {"a": ["b"]}), ({},))).live
    delivery = delivery_like(replace(QUEUED, live=live), config().calls)
    assert Delivery.from_json(json.loads(json.dumps(delivery.as_json()))) == delivery
    assert live_of(delivery) == live


@pytest.mark.parametrize(
    ("source", "params"),
    [
        ("rows", {"files": "s3://data/people.csv", "function": "f"}),
        ("memory", {"function_kind": "http", "http_conn_id": "f"}),
        ("s3", {"bucket": "photos", "prefix": "in/", "function_kind": "http", "http_conn_id": "f"}),
    ],
)
def test_without_a_trigger_lookup_auto_means_plain_items(
    source: str, params: dict[str, Any]
) -> None:
    delivery = find_delivery(params_for(source).config(params), NOBODY)
    assert (delivery.event, delivery.items_per_call) == ("items", 1)
