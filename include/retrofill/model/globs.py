"""Shell patterns: which texts they match, and how those begin and end."""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache


@lru_cache(maxsize=64)
def matches(patterns: str | None) -> Callable[[str], bool]:
    """Return what tells whether a whole text matches one of some patterns; None: any text does.

    >>> matches("*.jpg|*.png")("in/cat.png")
    True

    :param patterns: shell patterns with a bar between two
    """
    if patterns is None:
        return lambda _: True
    found = re.compile("|".join(map(translate, patterns.split("|")))).match
    return lambda text: found(text) is not None


def ends(patterns: str | None) -> list[tuple[str, str]]:
    """Return, for each pattern, what all texts that match it begin and end with, as far as told.

    >>> ends("in/*.jpg|*.png")
    [('in/', '.jpg'), ('', '.png')]
    """
    each = "*" if patterns is None else patterns
    return [
        (re.split(r"[*?[]", one, maxsplit=1)[0], re.split(r"[*?\]]", one)[-1])
        for one in each.split("|")
    ]
