"""Named SQL statements, read from the ``.sql`` files beside this module."""

import re
from importlib.resources import files

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(filename: str) -> dict[str, str]:
    """Return the statements of one file by name; each begins with a line ``-- name: …``.

    :raises ValueError: the file holds text before its first name, or a name twice
    """
    text = files(__package__).joinpath(filename).read_text(encoding="utf-8")
    preamble, *parts = _HEADER.split(text)
    names, bodies = parts[::2], parts[1::2]
    if preamble.strip() or len(set(names)) != len(names):
        message = f"{filename}: every statement needs one name of its own"
        raise ValueError(message)
    return dict(zip(names, (body.strip() for body in bodies), strict=True))
