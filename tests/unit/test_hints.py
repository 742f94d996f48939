"""Hints: errors that come from synthetic fields, and errors that no item causes."""

import pytest
from retrofill.engine.hints import hint_for
from retrofill.engine.outcomes import MAX_MESSAGE_CHARS, Ending, Outcome, explained
from retrofill.events import SHAPES
from retrofill.functions import FUNCTIONS

INVALID = (
    "An error occurred (ReceiptHandleIsInvalid) when calling the DeleteMessage operation: The"
    ' input receipt handle "x" is not a valid receipt handle.'
)
EXPIRED = (
    "An error occurred (InvalidParameterValue) when calling the ChangeMessageVisibility operation:"
    " Value x for parameter ReceiptHandle is invalid. Reason: Message does not exist."
)


@pytest.mark.parametrize("shape", ["s3-sqs", "s3-sns-sqs", "sqs"])
@pytest.mark.parametrize(
    ("error_type", "message"),
    [("ReceiptHandleIsInvalid", INVALID), ("ClientError", INVALID), ("ClientError", EXPIRED)],
)
def test_a_synthetic_receipt_handle_is_explained(shape: str, error_type: str, message: str) -> None:
    hint = hint_for(SHAPES[shape].hints, error_type, message)
    assert hint.startswith("the receipt handle is synthetic")


def test_an_event_without_a_receipt_handle_has_no_hint_about_one() -> None:
    assert hint_for(SHAPES["s3"].hints, "ReceiptHandleIsInvalid", INVALID) == ""


@pytest.mark.parametrize(
    ("error_type", "begins"),
    [
        ("Sandbox.Timedout", "the function ran into its own timeout"),
        ("Runtime.ImportModuleError", "the function's code could not be loaded"),
        ("Runtime.OutOfMemory", "the function ran out of memory"),
        ("AccessDeniedException", "AWS denied the function's own role an action"),
    ],
)
def test_errors_that_no_item_causes_are_explained(error_type: str, begins: str) -> None:
    assert hint_for(FUNCTIONS["aws_lambda"].hints, error_type, "…").startswith(begins)


@pytest.mark.parametrize("error_type", ["KeyError", "MyAccessDenied", ""])
def test_any_other_error_has_no_hint(error_type: str) -> None:
    assert hint_for(FUNCTIONS["aws_lambda"].hints, error_type, "x") == ""


def test_a_hint_follows_a_message_of_any_length() -> None:
    ended = explained(Ending(Outcome.FAILED, "E", "x" * MAX_MESSAGE_CHARS), "do this")
    assert ended.message.endswith("x (hint: do this)")
    assert len(ended.message) <= MAX_MESSAGE_CHARS
    assert explained(Ending(Outcome.FAILED, "E", "said"), "").message == "said"
