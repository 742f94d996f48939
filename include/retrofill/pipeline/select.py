"""A selection as typed by a user, on the command line or by REST."""

from typing import Literal

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.params.redrive import RedriveParams

_FIELDS = "redrive_"

Unsure = Literal["any", "only", "without"]
"""Whether to select items whose work may be done although nobody knows."""


def select(
    place: Place,
    *,
    error: str | None = None,
    key: str | None = None,
    version: str | None = None,
    after: str | None = None,
    before: str | None = None,
    unsure: str = "any",
) -> Selection:
    """Return a selection.

    :raises ConfigError: one of the fields is not allowed
    """
    typed = {
        "error": error,
        "key": key,
        "version": version,
        "after": after,
        "before": before,
        "unsure": unsure,
    }
    params = {f"{_FIELDS}{name}": text for name, text in typed.items()}
    try:
        found = RedriveParams.from_params({"redrive": place.value, **params}).selection
    except ConfigError as error_of_field:
        said = (one.removeprefix(_FIELDS) for one in error_of_field.problems)
        raise ConfigError(*said) from error_of_field
    # A place was given, so there is a selection.
    return found or Selection(place=place)
