"""Shell patterns: which texts they match."""

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
