"""Event patterns: each operator of EventBridge and SNS, and the refused ones."""

from typing import Any

import pytest
from retrofill.model.errors import ConfigError
from retrofill.triggers.patterns import compile_pattern

EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "ip": "10.0.0.7",
    "tags": ["red", "blue"],
    "null": None,
    "nothing": [],
    "rows": [{"id": 1, "sub": []}, {"id": 2}],
    "text": '{"a": "b"}',
    "on": True,
    "detail": {
        "bucket": {"name": "photos"},
        "object": {"key": "in/2025/Cat.JPG", "size": 1500},
    },
}


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({}, True),
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2", "aws.s3"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": ["aws.s3"], "detail-type": ["Object Deleted"]}, False),
        ({"missing": ["x"]}, False),
        ({"missing": {"x": ["y"]}}, False),
        ({"detail": {"bucket": {"name": ["photos"]}}}, True),
        ({"detail": {"bucket": {"name": ["other"]}}}, False),
        ({"tags": ["blue"]}, True),
        ({"tags": ["green"]}, False),
        ({"null": [None]}, True),
        ({"null": [{"exists": True}]}, True),
        ({"missing": [None]}, False),
        ({"on": [True]}, True),
        ({"on": [1]}, False),
        ({"detail": {"object": {"key": [{"prefix": "in/"}]}}}, True),
        ({"detail": {"object": {"key": [{"prefix": "out/"}]}}}, False),
        ({"detail": {"object": {"key": [{"prefix": {"equals-ignore-case": "IN/"}}]}}}, True),
        ({"detail": {"object": {"key": [{"suffix": ".jpg"}]}}}, False),
        ({"detail": {"object": {"key": [{"suffix": {"equals-ignore-case": ".jpg"}}]}}}, True),
        ({"detail": {"object": {"key": [{"wildcard": "in/*/Cat.*"}]}}}, True),
        ({"detail": {"object": {"key": [{"wildcard": "in/*.png"}]}}}, False),
        ({"detail": {"object": {"key": [{"wildcard": "in/\\*"}]}}}, False),
        ({"detail-type": [{"equals-ignore-case": "object created"}]}, True),
        ({"detail": {"object": {"size": [{"numeric": [">", 1000, "<=", 1500]}]}}}, True),
        ({"detail": {"object": {"size": [{"numeric": ["<", 1000]}]}}}, False),
        ({"detail": {"object": {"key": [{"numeric": ["<", 1000]}]}}}, False),
        ({"detail": {"object": {"size": [{"exists": True}]}}}, True),
        ({"detail": {"object": {"etag": [{"exists": True}]}}}, False),
        ({"detail": {"object": {"etag": [{"exists": False}]}}}, True),
        ({"detail": {"object": [{"exists": True}]}}, False),
        ({"detail": {"object": [{"exists": False}]}}, True),
        ({"rows": [{"exists": True}]}, False),
        ({"nothing": [{"exists": True}]}, False),
        ({"nothing": [{"exists": False}]}, True),
        ({"nothing": {"id": [{"exists": False}]}}, True),
        ({"tags": [{"exists": True}]}, True),
        ({"tags": {"id": [{"exists": False}]}}, True),
        ({"missing": {"id": [{"exists": False}]}}, True),
        ({"rows": {"id": [{"exists": True}]}}, True),
        ({"rows": {"sub": [{"exists": True}]}}, False),
        ({"rows": {"id": [2]}}, True),
        ({"rows": {"id": [3]}}, False),
        ({"detail.object.size": [1500]}, True),
        ({"detail.object": {"size": [1500]}}, True),
        ({"detail": {"object.size": [1400]}}, False),
        ({"text": {"a": ["b"]}}, False),
        ({"text": ['{"a": "b"}']}, True),
        ({"detail": {"object": [{"anything-but": "x"}]}}, False),
        ({"tags": [{"anything-but": ["red", "blue"]}]}, False),
        ({"tags": [{"anything-but": ["red"]}]}, True),
        ({"source": [{"anything-but": "aws.ec2"}]}, True),
        ({"source": [{"anything-but": ["aws.ec2", "aws.s3"]}]}, False),
        ({"source": [{"anything-but": {"prefix": "aws."}}]}, False),
        ({"source": [{"anything-but": {"suffix": [".ec2", ".sqs"]}}]}, True),
        ({"missing": [{"anything-but": "x"}]}, False),
        ({"ip": [{"cidr": "10.0.0.0/24"}]}, True),
        ({"ip": [{"cidr": "10.1.0.0/24"}]}, False),
        ({"$or": [{"source": ["aws.ec2"]}, {"tags": ["red"]}]}, True),
        ({"$or": [{"source": ["aws.ec2"]}, {"tags": ["green"]}]}, False),
    ],
)
def test_patterns_match_as_documented(pattern: dict[str, Any], matches: bool) -> None:  # noqa: FBT001  a parameter
    assert compile_pattern(pattern)(EVENT) is matches


# The message of https://docs.aws.amazon.com/sns/latest/dg/example-filter-policies.html.
ORDER = {
    "customer_interests": ["soccer", "rugby", "hockey"],
    "store": "example_corp",
    "event": "order_placed",
    "price_usd": 210.75,
}
# The S3 event that this post filters:
# https://aws.amazon.com/blogs/compute/introducing-payload-based-message-filtering-for-amazon-sns
UPLOAD = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"object": {"key": "auto-insurance-2314.xml", "size": 17}},
        }
    ]
}


@pytest.mark.parametrize(
    ("message", "policy", "accepted"),
    [
        (
            ORDER,
            {
                "store": ["example_corp"],
                "event": [{"anything-but": "order_cancelled"}],
                "customer_interests": ["rugby", "football", "baseball"],
                "price_usd": [{"numeric": [">=", 100]}],
            },
            True,
        ),
        (ORDER, {"customer_interests": ["baseball", "basketball"]}, False),
        (ORDER, {"event": ["order_cancelled"]}, False),
        (ORDER, {"encrypted": [False]}, False),
        (ORDER, {"event": [{"anything-but": {"prefix": "order-"}}]}, True),
        (ORDER, {"event": [{"prefix": "order_"}], "store": [{"suffix": "_corp"}]}, True),
        (ORDER, {"store": [{"equals-ignore-case": "Example_Corp"}]}, True),
        (ORDER, {"price_usd": [{"numeric": [">", 0, "<=", 150]}]}, False),
        (ORDER, {"price_usd": [{"anything-but": [100, 500]}]}, True),
        (ORDER, {"store": [{"exists": True}], "encrypted": [{"exists": False}]}, True),
        (ORDER, {"$or": [{"store": ["other"]}, {"event": ["order_placed"]}]}, True),
        (
            UPLOAD,
            {
                "Records": {
                    "s3": {"object": {"key": [{"prefix": "auto-"}]}},
                    "eventName": [{"prefix": "ObjectCreated:"}],
                }
            },
            True,
        ),
        (UPLOAD, {"Records": {"s3": {"object": {"key": [{"prefix": "home-"}]}}}}, False),
        (UPLOAD, {"Records.s3.object.key": [{"suffix": ".xml"}]}, True),
    ],
)
def test_the_policies_that_sns_documents(
    message: dict[str, Any],
    policy: dict[str, Any],
    accepted: bool,  # noqa: FBT001  a parameter
) -> None:
    assert compile_pattern(policy)(message) is accepted


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        ({"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "in/"}]}}}, True),
        ({"account": [{"exists": False}], "detail": {"reason": [{"anything-but": "x"}]}}, True),
        ({"$or": [{"source": ["x"]}, {"detail": {"bucket": {"name": ["b"]}}}]}, True),
        ({"$or": [{"source": ["x"]}, {"detail": {"bucket": {"name": ["c"]}}}]}, False),
        ({"detail": {"bucket": {"name": ["c"]}, "object": {"key": ["k"]}}}, False),
    ],
)
def test_a_partly_known_event_may_match(
    pattern: dict[str, Any],
    may: bool,  # noqa: FBT001  a parameter
) -> None:
    known = {"source": "aws.s3", "detail": {"bucket": {"name": "b"}}}
    assert compile_pattern(pattern, missing_passes=True)(known) is may


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ({"key": [{"soundslike": "x"}]}, "the unknown operator 'soundslike' for 'key'"),
        ({"key": "x"}, """has "x" for 'key'"""),
        ({"key": [{"prefix": 1}]}, "malformed"),
        ({"key": [{"numeric": [">"]}]}, "malformed"),
        ({"key": [{"numeric": ["~", 1]}]}, "malformed"),
        ({"key": [{"exists": "yes"}]}, "malformed"),
        ({"key": [{"cidr": "everywhere"}]}, "malformed"),
        ({"key": [{"prefix": "a", "suffix": "b"}]}, "for 'key'"),
        ({"$or": ["x"]}, "in '$or'"),
    ],
)
def test_unknown_operators_are_refused(pattern: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_pattern(pattern)
    assert str(caught.value).startswith("event: the trigger's pattern has")
    assert said in str(caught.value)
