"""Parse a selection that a user typed, on the command line or via REST."""

from typing import Literal

from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.params.redrive import RedriveParams

_FIELDS = "redrive_"

Unsure = Literal["any", "only", "without"]
"""Whether to select items in doubt, whose work may be done."""


def select(place: Place, **typed: str | None) -> Selection:
    """Return a selection.

    >>> select(Place.QUARANTINE, error="Timeout*", unsure="only").error
    'Timeout*'

    :param typed: ``error``, ``key``, ``version``, ``after``, ``before`` and ``unsure``; without
        one, the selection is not narrowed by it
    :raises ConfigError: one of the texts is not allowed
    """
    params = {f"{_FIELDS}{name}": text for name, text in typed.items()}
    try:
        found = RedriveParams.from_params({"redrive": place.value, **params}).selection
    except ConfigError as error:
        problems = (one.removeprefix(_FIELDS) for one in error.problems)
        raise ConfigError(*problems) from error
    # A place was given, so there is a selection.
    return found or Selection(place=place)
