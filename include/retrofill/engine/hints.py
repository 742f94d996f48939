"""Hints: explain an error that no item causes, by the error's name."""

import re
from collections.abc import Mapping

_NAME = re.compile(r"\w+")


def hint_for(hints: Mapping[str, str], error_type: str, message: str) -> str:
    """Return the first hint whose name is the error's type, or a word of its message.

    Clients wrap the errors of a service in their own, and name the original in the message.

    :returns: empty if no name matches
    """
    words = {error_type, *_NAME.findall(f"{error_type} {message}")}
    return next((hint for name, hint in hints.items() if name in words), "")
