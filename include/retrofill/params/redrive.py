"""The params of a redrive: call again what is in quarantine."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from retrofill.model.quoting import quoted
from retrofill.params.base import Params, Problem, Sound, field, refuse
from retrofill.params.texts import BLANK, Text, patterns

REDRIVE = "Redrive"

_LONGEST_ERROR_TYPE = 200


def _error_type(text: str) -> str:
    if len(text) > _LONGEST_ERROR_TYPE:
        refuse(f"it has more than {_LONGEST_ERROR_TYPE} characters")
    return text


ErrorPattern = Annotated[Text, AfterValidator(patterns), AfterValidator(_error_type)]


class RedriveParams(Params):
    """Whether a run redrives, and what."""

    redrive: bool = field(
        REDRIVE,
        "Redrive",
        "Call again what is in quarantine, instead of listing the source: of the job that the"
        " other fields name, all of it, or what the source's fields for keys and the error type"
        " select.",
        default=False,
    )
    redrive_error: Annotated[ErrorPattern | None, BLANK] = field(
        REDRIVE,
        "Error type",
        "Only what is in quarantine with this error type; * is anything, ? one character,"
        " [ab] one of these, | stands between two patterns.",
        allowed="a shell pattern, or some with | between them, of up to 200 characters",
        form={"maxLength": _LONGEST_ERROR_TYPE},
        default=None,
        examples=["Sandbox.Timedout", "Call.*"],
    )

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find a selection of what to redrive without a redrive."""
        if self.redrive or not sound("redrive"):
            return
        if self.redrive_error is not None and sound("redrive_error"):
            yield Problem(
                "redrive_error",
                f"{quoted(self.redrive_error)}; allowed only with redrive, which is false",
            )
