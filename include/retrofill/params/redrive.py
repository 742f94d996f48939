"""The params of a redrive: call items again that are in quarantine, or that succeeded."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from retrofill.model.items import LONGEST_KEY_BYTES
from retrofill.model.quoting import quoted
from retrofill.model.selection import LONGEST_ERROR_TYPE, Place, Selection
from retrofill.params.base import Params, Problem, Sound, field, refuse
from retrofill.params.texts import BLANK, KeyPattern, Text, Time, patterns

REDRIVE = "Redrive"

_LONGEST_VERSION = 200
_NARROWING = ("redrive_error", "redrive_key", "redrive_version", "redrive_after", "redrive_before")
_OF_QUARANTINE = {"redrive_error", "redrive_unsure"}
_UNSURE = {"any": None, "only": True, "without": False}


def _error_type(text: str) -> str:
    if len(text) > LONGEST_ERROR_TYPE:
        refuse(f"it has more than {LONGEST_ERROR_TYPE} characters")
    return text


ErrorPattern = Annotated[Text, AfterValidator(patterns), AfterValidator(_error_type)]


class RedriveParams(Params):
    """Whether a run redrives, and which items."""

    redrive: Literal["none", "quarantine", "successes"] = field(
        REDRIVE,
        "Redrive",
        "Call items of the job again that are **in quarantine**, instead of listing the source; or"
        " items that **succeeded**, for a bug that returned no error, while the source is listed"
        " as usual. The next fields select items; an empty selection is refused.",
        default="none",
    )
    redrive_error: Annotated[ErrorPattern | None, BLANK] = field(
        REDRIVE,
        "Error type",
        "Only items quarantined with this error type. * is any text, ? one character, [ab] one of"
        " these. Separate patterns with |.",
        allowed="a shell pattern, or several separated by |, of up to 200 characters",
        form={"maxLength": LONGEST_ERROR_TYPE},
        default=None,
        examples=["Sandbox.Timedout", "Call.*"],
    )
    redrive_key: Annotated[KeyPattern | None, BLANK] = field(
        REDRIVE,
        "Keys",
        "Only items whose whole key matches such a pattern.",
        allowed="a shell pattern, or several separated by |, of up to 1,024 bytes",
        form={"maxLength": LONGEST_KEY_BYTES},
        default=None,
        examples=["incoming/2025/*", "*.jpg|*.png"],
    )
    redrive_version: Annotated[Text | None, BLANK] = field(
        REDRIVE,
        "Function version",
        "Only items whose last call was executed by this version of the function. If that is not"
        " known, the version that their run called.",
        allowed="the number of a version, or whatever the function's kind calls one",
        form={"maxLength": _LONGEST_VERSION},
        default=None,
        examples=["7", "$LATEST"],
    )
    redrive_after: Annotated[Time | None, BLANK] = field(
        REDRIVE,
        "Settled from",
        "Only items that succeeded, or were quarantined, at this time or later.",
        default=None,
        examples=["2026-01-01T00:00:00Z"],
    )
    redrive_before: Annotated[Time | None, BLANK] = field(
        REDRIVE,
        "Settled before",
        "Only items that succeeded, or were quarantined, before this time.",
        default=None,
        examples=["2026-01-02T00:00:00Z"],
    )
    redrive_unsure: Literal["any", "only", "without"] = field(
        REDRIVE,
        "In doubt",
        "Of quarantined items: **only** those whose work may be done already, all **without**"
        " them, or **any**.",
        default="any",
    )
    redrive_note: Annotated[Text | None, BLANK] = field(
        REDRIVE,
        "Note",
        "Why these items are called again. It is kept with the run and shown in the list of"
        " redrives.",
        allowed="a line of up to 1,024 characters",
        form={"maxLength": 1_024},
        default=None,
        examples=["Version 8 fixes the timeouts of 2026-01-01"],
    )

    @property
    def place(self) -> Place | None:
        """Where the run redrives from; None: it does not."""
        return None if self.redrive == "none" else Place(self.redrive)

    @property
    def selection(self) -> Selection | None:
        """The items that the run redrives; None: none."""
        if self.place is None:
            return None
        return Selection(
            place=self.place,
            error=self.redrive_error,
            key=self.redrive_key,
            version=self.redrive_version,
            after=self.redrive_after,
            before=self.redrive_before,
            unsure=_UNSURE[self.redrive_unsure],
        )

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find a selection without a redrive, and a redrive that selects too much."""
        if not sound("redrive"):
            return
        given = {
            name: quoted(value if isinstance(value, str) else str(value))
            for name in (*_NARROWING, "redrive_unsure", "redrive_note")
            if (value := getattr(self, name)) != type(self).model_fields[name].default
        }
        if self.place is None:
            for name, value in given.items():
                yield Problem(name, f"{value} is allowed only with redrive, which is 'none'")
            return
        if self.place is Place.SUCCESSES:
            for name in _OF_QUARANTINE & given.keys():
                yield Problem(
                    name,
                    f"{given[name]} is allowed only with redrive 'quarantine': succeeded items have"
                    " no error",
                )
            if sound(*_NARROWING) and given.keys().isdisjoint(_NARROWING):
                yield Problem(
                    "redrive",
                    "'successes' needs redrive_key, redrive_version, redrive_after or"
                    " redrive_before; to redrive everything that ever succeeded, give"
                    " redrive_key: '*'",
                )
        after, before = self.redrive_after, self.redrive_before
        if sound("redrive_after", "redrive_before") and after and before and after >= before:
            yield Problem("redrive_after", f"{after} is not before redrive_before, {before}")


def params_of(selection: Selection, note: str) -> dict[str, Any]:
    """Return the params that request a redrive of a selection, as JSON values."""
    stored = selection.as_json()
    return {
        "redrive": stored["place"],
        **{name: stored.get(name.removeprefix("redrive_")) for name in _NARROWING},
        "redrive_unsure": {value: name for name, value in _UNSURE.items()}[selection.unsure],
        "redrive_note": note or None,
    }
