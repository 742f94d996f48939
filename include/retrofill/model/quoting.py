"""Quote values for people: short, without likely secrets, and with nothing hidden."""

import re
import reprlib
from itertools import islice
from typing import Any

_LONGEST = 60

# Of a URL only the scheme is shown: login, host, path and query may each hold a token. The
# address of a bucket should hold no secret, and shows what was mistaken for its name.
_URL = re.compile(r"(?i)\b(?!s3:)([a-z][a-z0-9+.\-]*://)\S+")


def quoted(value: Any) -> str:
    """Return a value in Python's notation, cut to 60 characters."""
    # Only the part that is shown is formatted, because the value may be large.
    if isinstance(value, str):
        text = repr(_URL.sub(r"\1…", value[: _LONGEST + 1]))
    elif isinstance(value, dict):
        # Any string in an object may be a header with a secret.
        members = (
            f"{quoted(name)}: {'…' if isinstance(one, str | dict | list) else quoted(one)}"
            for name, one in islice(value.items(), _LONGEST)
        )
        text = f"{{{', '.join(members)}}}"
    else:
        text = _URL.sub(r"\1…", reprlib.repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def visible(text: str, *, but: str = "") -> str:
    """Return a text with unprintable characters escaped.

    :param but: characters to leave as they are
    """
    return "".join(
        character
        if (character.isprintable() and character != "\\") or character in but
        else character.encode("unicode_escape").decode()
        for character in text
    )
