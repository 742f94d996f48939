"""Types of params that several owners use: clean texts, patterns, times, connection ids."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from retrofill.model.items import LONGEST_KEY_BYTES
from retrofill.params.base import refuse

LONGEST_TEXT = 1_024
"""Characters of a text."""

# The last range is surrogates, which UTF-8 cannot encode.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CONN_ID = r"[a-zA-Z0-9_.\-]{1,200}"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?"


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


BLANK = BeforeValidator(_blank_is_none)
"""Convert an empty form field, which arrives as an empty text, to None: no value was given."""


def matching(pattern: str, text: str) -> str:
    """Return a text that matches a pattern as a whole."""
    if not re.fullmatch(pattern, text):
        refuse("")
    return text


def one_of(choices: Collection[str], text: str) -> str:
    """Return a text that is one of the choices."""
    if text not in choices:
        refuse("")
    return text


def at_most_key_bytes(text: str) -> str:
    """Return a text that is no longer than a key may be."""
    if len(text.encode()) > LONGEST_KEY_BYTES:
        refuse(f"it has more than the {LONGEST_KEY_BYTES:,} bytes that a key may have")
    return text


def patterns(text: str) -> str:
    """Return shell patterns, separated by bars, none of them empty."""
    if not all(text.split("|")):
        refuse("one of its patterns is empty")
    return text


def _clean(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        refuse(f"it has {len(text):,} characters")
    invisible = _CONTROL.search(text)
    if invisible:
        refuse(f"it contains the control character {invisible[0]!r}")
    if text != text.strip():
        refuse("it begins or ends with white space")
    return text


def _conn_id(text: str) -> str:
    if "://" in text:
        refuse("it is a URL; define an Airflow connection with it, and give its id")
    return matching(_CONN_ID, text)


def _time(value: object) -> object:
    """Parse a time from JSON, where it is a text, which strict fields do not accept."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(_TIME, value):
        refuse("")
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        refuse(str(error))
    if time.tzinfo is None:
        # Checked here, to quote what the user typed; pydantic would quote the parsed value.
        refuse("it has no zone")
    return time


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        refuse("it is out of range")


Text: TypeAlias = Annotated[str, AfterValidator(_clean)]
KeyPattern: TypeAlias = Annotated[Text, AfterValidator(patterns), AfterValidator(at_most_key_bytes)]
ConnectionId: TypeAlias = Annotated[Text, AfterValidator(_conn_id)]
Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_time), AfterValidator(_utc)]
