"""How values are shown: cut short, and of a URL only the scheme."""

import pytest
from retrofill.config import params_for
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", "'short'"),
        (5.0, "5.0"),
        (None, "None"),
        ("https://user:hidden@host/hidden", "'https://…'"),
        ("JSON://hidden", "'JSON://…'"),
        ("see slack://hidden/hidden and more", "'see slack://… and more'"),
        ("a json://hid'den", "'a json://…'"),
        (["json://hidden"], "['json://…"),
        ({"url": "mailtos://u:hidden@h"}, "{'url': …}"),
        (
            {"Authorization": "hidden", "n": 1, "m": {"x": "hidden"}},
            "{'Authorization': …, 'n': 1, 'm': …}",
        ),
        ("s3://my-photos/in/", "'s3://my-photos/in/'"),
    ],
)
def test_a_value_is_shown_without_possible_secrets(value: object, shown: str) -> None:
    assert quoted(value) == shown


def test_a_long_value_is_cut() -> None:
    assert quoted("x" * 10**7) == "'" + "x" * 58 + "…"
    assert "hidden" not in quoted("x" * 40 + "https://u:hidden@host")


FIELDS = [
    "bucket",
    "function",
    "qualifier",
    "notify_sns_topic_arn",
    "notify_conn_id",
    "aws_conn_id",
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", ["https://user:hidden@host/hidden", "{{ conn.x.password }}"])
def test_a_bad_name_is_refused_and_not_repeated(field: str, text: str) -> None:
    params = {"bucket": "my-photos", "prefix": "in/", "function": "f", field: text}
    with pytest.raises(ConfigError) as found:
        params_for("s3").config(params)
    assert "hidden" not in str(found.value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("bucket", "my-photos"),
        ("function", "arn:aws:lambda:eu-central-1:123456789012:function:resize-image:$LATEST"),
        ("function", "resize_image:7"),
        ("qualifier", "$LATEST.PUBLISHED"),
        ("qualifier", ""),
        ("notify_sns_topic_arn", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:back_fills"),
        ("notify_sns_topic_arn", ""),
        ("notify_conn_id", "team.mail-1"),
        ("notify_conn_id", ""),
        ("aws_conn_id", "aws_default"),
    ],
)
def test_good_names_are_taken(field: str, text: str) -> None:
    params = {"bucket": "my-photos", "prefix": "in/", "function": "f", field: text}
    assert params_for("s3").config(params)
