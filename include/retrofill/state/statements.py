"""Named SQL statements, read from the ``.sql`` files next to this module.

They must read no more than they need, even if the planner has no statistics of a table. So
``OFFSET 0`` in a lateral subquery makes it look up each row by itself, and ``ANY(ARRAY(SELECT …))``
or ``LIMIT (SELECT …)`` hide a length from it, so that it uses an index.
"""

import re
from importlib.resources import files

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(filename: str) -> dict[str, str]:
    """Return the statements of a file by name; each begins with a line ``-- name: …``.

    :raises ValueError: the file has text before its first name, or a name twice
    """
    text = files(__package__).joinpath(filename).read_text(encoding="utf-8")
    preamble, *parts = _HEADER.split(text)
    names, bodies = parts[::2], parts[1::2]
    if preamble.strip() or len(set(names)) != len(names):
        raise ValueError(f"{filename}: every statement needs a name of its own")
    return dict(zip(names, (body.strip() for body in bodies), strict=True))
