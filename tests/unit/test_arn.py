import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.arn import Arn, bucket_arn

FUNCTION = "arn:aws-cn:lambda:cn-north-1:123456789012:function:resize"


def test_the_parts_of_an_arn():
    arn = Arn.parse(f"{FUNCTION}:live")
    assert arn == ("aws-cn", "lambda", "cn-north-1", "123456789012", "function:resize:live")
    assert (arn.name, arn.qualifier) == ("resize", "live")
    assert str(arn.unqualified) == FUNCTION


def test_an_arn_without_a_qualifier():
    arn = Arn.parse(FUNCTION)
    assert (arn.name, arn.qualifier) == ("resize", "")
    assert arn.unqualified == arn


def test_the_arn_of_a_bucket():
    assert bucket_arn("photos", "aws-cn") == "arn:aws-cn:s3:::photos"


@pytest.mark.parametrize("text", ["", "resize", "PendingConfirmation", "arn:aws:sns:eu-west-1:1"])
def test_other_texts_are_not_arns(text: str):
    assert Arn.find(text) is None
    with pytest.raises(ValueError, match="is not an ARN"):
        Arn.parse(text)


@given(st.lists(st.text(st.characters(exclude_characters=":")), min_size=4, max_size=4), st.text())
def test_an_arn_is_written_as_it_was_read(parts: list[str], resource: str):
    text = ":".join(["arn", *parts, resource])
    assert str(Arn.parse(text)) == text
