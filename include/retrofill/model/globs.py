"""Shell patterns: which texts match them, and how matching texts begin and end."""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

_SPECIAL = re.compile(r"[*?\[]")
_UNPRINTABLE = re.compile(r"[|\x00-\x1f\x7f]|\A\s|\s\Z")
_NEVER = r"(?!x)x"
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


@lru_cache(maxsize=64)
def matches(patterns: str | None) -> Callable[[str], bool]:
    """Return a function that checks whether a whole text matches a pattern; None: every text does.

    >>> matches("*.jpg|*.png")("in/cat.png")
    True

    :param patterns: shell patterns, separated by bars
    """
    if patterns is None:
        return lambda _: True
    found = re.compile("|".join(map(translate, patterns.split("|")))).match
    return lambda text: found(text) is not None


def ends(patterns: str | None) -> list[tuple[str, str]]:
    """Return for each pattern the known beginning and end of all texts that match it.

    >>> ends("in/*.jpg|*.png")
    [('in/', '.jpg'), ('', '.png')]
    """
    each = "*" if patterns is None else patterns
    return [
        (re.split(r"[*?[]", one, maxsplit=1)[0], re.split(r"[*?\]]", one)[-1])
        for one in each.split("|")
    ]


def as_regex(patterns: str) -> str:
    """Return the patterns of :func:`matches` as a regular expression of Postgres, for whole texts.

    Postgres calls these *advanced regular expressions*: a dot matches every character, a class is
    read as here, and a backslash before any character but a letter or digit makes it literal.
    """
    return f"^(?:{'|'.join(map(_regex, patterns.split('|')))})$"


def _regex(pattern: str) -> str:
    parts, at = [], 0
    while at < len(pattern):
        sign = pattern[at]
        end = _class_end(pattern, at) if sign == "[" else -1
        if end > 0:
            parts.append(_class(pattern[at + 1 : end]))
            at = end
        elif sign in "*?":
            parts.append(".*" if sign == "*" else ".")
        else:
            parts.append(re.escape(sign))
        at += 1
    return "".join(parts)


def _class_end(pattern: str, at: int) -> int:
    """Return where a class ends; -1: it does not, so its bracket is an ordinary character."""
    begin = at + 1
    for sign in ("!", "]"):
        if pattern.startswith(sign, begin):
            begin += 1
    return pattern.find("]", begin)


def _class(inside: str) -> str:
    negated, signs = inside.startswith("!"), inside.removeprefix("!")
    spans, at = [], 0
    while at < len(signs):
        is_range = signs[at + 1 : at + 2] == "-" and at + 2 < len(signs)
        first, last = signs[at], signs[at + 2 if is_range else at]
        if first <= last:
            spans.append(re.sub(r"(\W)", r"\\\1", first) if first.isascii() else first)
            if is_range:
                spans.append("-" + (re.sub(r"(\W)", r"\\\1", last) if last.isascii() else last))
        at += 3 if is_range else 1
    if not spans:
        return "." if negated else _NEVER
    return f"[{'^' if negated else ''}{''.join(spans)}]"


def only(text: str) -> str:
    """Return a pattern that matches a text.

    A ``?`` replaces each character that a param cannot contain: a bar, a control character, or
    white space at either end. In these places any other character matches too.

    >>> only("Sandbox.Timedout[1]")
    'Sandbox.Timedout[[]1]'
    """
    return _UNPRINTABLE.sub("?", _SPECIAL.sub(r"[\g<0>]", text))


def beginning(patterns: str | None) -> str:
    """Return the longest prefix of all texts that match one of the patterns.

    >>> beginning("in/2025/*|in/2024/*")
    'in/202'
    """
    heads = [head for head, _ in ends(patterns)]
    shared = 0
    for signs in zip(*heads, strict=False):
        if len(set(signs)) > 1:
            break
        shared += 1
    return heads[0][:shared]


def behind(beginning: str) -> str | None:
    """Return the first text after all texts with this prefix, by code points; None: none.

    >>> behind("in/")
    'in0'
    """
    for at in range(len(beginning) - 1, -1, -1):
        code = ord(beginning[at]) + 1
        if code == _SURROGATES[0]:
            code = _SURROGATES[1] + 1
        if code <= _LAST_CHARACTER:
            return beginning[:at] + chr(code)
    return None
