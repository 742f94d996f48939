"""Ranges of keys: how to divide a listing in key order without reading it completely."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import count, groupby
from typing import NamedTuple, TypeAlias

KEYS_WORTH_A_RANGE = 20_000
"""How many keys a range should have: below that, its own task costs more than it saves."""


class Look(NamedTuple):
    """The result of one look into the key space."""

    keys: Sequence[str]
    """The first keys after the position of the look, in order; some if there are any."""

    more: bool
    """Whether there are keys after them, however few they are."""


Peek: TypeAlias = Callable[[str], Look]
"""Looks at the keys after a key."""

_FINENESS = 4
_EVERY_CHARACTER = 16
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class KeyRange(NamedTuple):
    """The keys after one key, up to and including another, in the order of their UTF-8 bytes."""

    after: str
    """The range begins after this key; empty: with the first key."""

    end: str | None
    """The last key that the range may have; ``None``: it ends with the last key."""


def divide(prefix: str, peek: Peek, parts: int) -> list[KeyRange]:
    """Divide the keys with a prefix into ranges of about equal numbers of keys.

    Together the ranges contain every possible key once, whatever was seen when they were made. Only
    their balance depends on what was seen. No source reports how many keys lie between two others,
    so the number is estimated from the distance of neighbours. The interval with the highest
    estimate is examined and divided by the next character of its keys, until no interval matters
    any more or all looks are used up (60, and 12 for each range).

    :param prefix: the prefix of all keys; may be empty
    :param peek: looks into the key space; every call is one request to the source
    :param parts: the maximum number of ranges
    """
    leaves = _Survey(peek, looks=60 + 12 * parts).divide(prefix, parts)
    cuts = _cuts(leaves, _worthwhile(_total(leaves), parts))
    return [KeyRange(after, end) for after, end in zip(["", *cuts], [*cuts, None], strict=True)]


def sort_into(ranges: Sequence[KeyRange], keys: Iterable[str]) -> list[list[str]]:
    """Return, for each range of a division, the keys that lie in it."""
    ends = [one.end for one in ranges if one.end is not None]
    found: list[list[str]] = [[] for _ in ranges]
    for key in keys:
        found[bisect_left(ends, key)].append(key)
    return found


class _Leaf:
    """An interval of the key space that is not divided (yet).

    :param start: no key of the interval is smaller
    :param until: all keys of the interval are smaller; ``None``: it has no upper bound
    :param stem: the common prefix of all keys of the interval, as far as it is known
    :param sample: the first keys of the interval
    :param counted: whether the sample is the whole interval
    :param width: how many characters after the stem the interval spans
    """

    __slots__ = ("counted", "sample", "start", "stem", "stem_is_longest", "until", "weight")

    def __init__(
        self,
        start: str,
        until: str | None,
        stem: str,
        sample: Sequence[str],
        *,
        counted: bool,
        width: int = 1,
    ) -> None:
        self.start = start
        self.until = until
        self.stem = stem
        self.sample = sample
        self.counted = counted
        self.stem_is_longest = start != stem
        self.weight = len(sample) if counted else width * _extrapolate(sample, len(start))

    def holds(self, key: str) -> bool:
        return key >= self.start and (self.until is None or key < self.until)

    def with_stem(self, stem: str) -> "_Leaf":
        leaf = _Leaf(stem, self.until, stem, self.sample, counted=self.counted)
        leaf.stem_is_longest = True
        return leaf


class _Survey:
    """A bounded number of looks into a key space."""

    def __init__(self, peek: Peek, looks: int) -> None:
        self._peek = peek
        self._looks = looks
        self._seen: dict[str, Look] = {}

    def divide(self, prefix: str, parts: int) -> list[_Leaf]:
        keys, more = self._look(prefix)
        leaves = [_Leaf(prefix, _next_to(prefix), prefix, keys, counted=not more)]
        while self._left > 0:
            leaf = max(leaves, key=lambda leaf: 0 if leaf.counted else leaf.weight)
            total = _total(leaves)
            enough = leaf.weight * _FINENESS * _worthwhile(total, parts) <= total
            if leaf.counted or (enough and len(leaves) > 1):
                break
            at = leaves.index(leaf)
            leaves[at : at + 1] = (
                self._children(leaf) if leaf.stem_is_longest else [self._longest_stem(leaf)]
            )
        return leaves

    @property
    def _left(self) -> int:
        return self._looks - len(self._seen)

    def _look(self, after: str) -> Look:
        if after not in self._seen:
            self._seen[after] = self._peek(after)
        return self._seen[after]

    def _longest_stem(self, leaf: _Leaf) -> _Leaf:
        """Find the common prefix of all keys of the leaf: a binary search for its length."""
        key = leaf.sample[-1]
        shortest = len(leaf.stem)
        longest = _shared(leaf.sample[len(leaf.sample) // 2], key)
        guess = shortest + 1
        while shortest < longest:
            beyond = _next_to(key[:guess])
            others = self._look(beyond).keys if beyond else ()
            if others and leaf.holds(others[0]):
                longest = max(shortest, min(guess - 1, _shared(key, others[0])))
            else:
                shortest = guess
            guess = (shortest + longest + 1) // 2
        return leaf.with_stem(key[:shortest])

    def _children(self, leaf: _Leaf) -> list[_Leaf]:
        """Divide a leaf by the next character of its keys.

        One look finds the next of these characters. After sixteen, the looks make ever longer
        jumps, because ten digits or ten thousand ideographs may be in use.
        """
        column = len(leaf.stem) + 1
        children: list[_Leaf] = []
        inside = leaf.sample
        ended = False
        jump = 1
        for looks in count():
            longer = (key for key in inside if len(key) >= column)
            for start, keys in groupby(longer, key=lambda key: key[:column]):
                children.append(_Leaf(start, _next_to(start), start, list(keys), counted=True))
            if ended or not children:
                break
            last = children.pop()
            jump = 1 if looks < _EVERY_CHARACTER else 2 * jump
            after = _next_to(last.start, jump)
            ends_here = after is None or not leaf.holds(after) or self._left <= 0
            if jump == 1 and self._left > 0:
                stem, until = last.start, _next_to(last.start)
            else:
                stem, until = leaf.stem, leaf.until if ends_here else after
            children.append(_Leaf(last.start, until, stem, last.sample, counted=False, width=jump))
            if after is None or ends_here:
                break
            found = self._look(after)
            inside = [key for key in found.keys if leaf.holds(key)]
            ended = len(inside) < len(found.keys) or not found.more
        if not children:
            leaf.counted = True
        return children or [leaf]


_RUN = re.compile(r"[0-9A-Za-z]+|[^\x00-\x7f]")
_ALPHANUMERIC = {char: int(char, 36) for char in "0123456789abcdefghijklmnopqrstuvwxyz"}
_SHORTEST_WORD = 3
_PER_KEY_IF_UNKNOWN = 1_000.0
_FINEST = 1e-9


def _extrapolate(sample: Sequence[str], column: int) -> float:
    """Estimate how many keys share a prefix, from the first of them.

    After the prefix, the keys are read as numbers. A sample that spans a hundredth of all numbers
    counts as a hundredth of all keys.
    """
    middle = len(sample) // 2
    span = _number(sample[-1], column) - _number(sample[middle], column)
    if span > 0:
        return max(len(sample), (len(sample) - middle) / span)
    return len(sample) * _PER_KEY_IF_UNKNOWN


def _number(key: str, column: int) -> float:
    """Read the characters from a column on as the digits of a number from 0 to 1.

    Only characters that distinguish items in most keys are digits of it: digits, and letters among
    digits. Words and punctuation are usually the same in all keys.
    """
    number, place = 0.0, 1.0
    for run in _RUN.finditer(key, column):
        text = run[0].lower()
        if not text.isascii():
            base, values = 4096, [ord(text[0]) % 4096]
        elif text.isalpha() and len(text) >= _SHORTEST_WORD:
            continue
        else:
            base = 10 if text.isdecimal() else 16 if max(text) <= "f" else 36
            values = [_ALPHANUMERIC[char] for char in text]
        for value in values:
            place /= base
            number += value * place
        if place < _FINEST:
            break
    return number


def _total(leaves: list[_Leaf]) -> float:
    return sum(leaf.weight for leaf in leaves)


def _worthwhile(total: float, parts: int) -> int:
    """Return how many ranges this many keys are worth, up to the wanted number of parts."""
    return max(1, min(parts, round(total / KEYS_WORTH_A_RANGE)))


def _cuts(leaves: list[_Leaf], ranges: int) -> list[str]:
    """Choose the starts of leaves that best divide the total weight into this many ranges."""
    cuts: list[str] = []
    share = _total(leaves) / ranges
    before = 0.0
    for leaf in leaves:
        due = len(cuts) + 1 < ranges and before + leaf.weight / 2 >= share * (len(cuts) + 1)
        # A cut is stored in Postgres, whose text cannot contain NUL.
        if before and due and "\0" not in leaf.start:
            cuts.append(leaf.start)
        before += leaf.weight
    return cuts


def _shared(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _next_to(text: str, by: int = 1) -> str | None:
    """Return the least text that is greater than all texts with this prefix.

    :param by: how many code points to advance its last character
    """
    while text:
        last = ord(text[-1]) + by
        if last in _SURROGATES:
            last = _SURROGATES.stop
        if last <= _LAST_CHARACTER:
            return text[:-1] + chr(last)
        text, by = text[:-1], 1
    return None
