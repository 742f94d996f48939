"""A form's empty field: it arrives as an empty text, and means that nothing was given."""

from pydantic import BeforeValidator


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


BLANK = BeforeValidator(_blank_is_none)
"""Takes a form's empty field for None."""
