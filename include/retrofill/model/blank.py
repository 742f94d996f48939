"""An empty form field: it arrives as an empty string and means that no value was given."""

from pydantic import BeforeValidator


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


BLANK = BeforeValidator(_blank_is_none)
"""Convert an empty form field to None."""
