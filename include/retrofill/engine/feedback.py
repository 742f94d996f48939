"""Feedback: whether new items look like what the function made of items that it was called with.

A name alone proves nothing: people have photo.jpg and photo-2.jpg. An output has the name of what
it was made of, but for an affix, a folder or an extension, *and* was written while that was called.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

SAMPLE = 1_000
"""Items that are looked at, of those that are new."""

LOOKED_UP = 100
"""Of these, the most for whose names others are looked up."""

MOST_STEMS = 200
"""The most names that are looked up for an item."""

FEWEST = 10
"""Outputs that make a suspicion; of fewer items all must be outputs."""

VERY_FEW = 3
"""Items of fewer of which nothing is concluded."""

LEAST_SHARE = 0.1
"""The share of the new items that must look like outputs: all but a tenth may be from elsewhere."""

BEFORE = timedelta(seconds=2)
"""How long before its call an output may seem to be written: sources tell whole seconds."""

AFTER = timedelta(seconds=10)
"""How long after its call an output may still be written."""

_LEVELS = 3
_PARENTS = 24
_AFFIX_TOKENS = 6
_NAMES_FIRST = 60
_NAMES_ELSEWHERE = 8
_LONGEST_EXTENSION = 10
_TOKENS = re.compile(r"[A-Z]*[^\W\d_A-Z]+|[A-Z]+|\d+|[\W_]")


class Fresh(NamedTuple):
    """A new item."""

    key: str
    modified: datetime


class Calling(NamedTuple):
    """When a run called the function, from its first plan to its end."""

    run_id: int
    began: datetime
    ended: datetime
    calls: int
    """Those that succeeded."""

    items: int
    """Those that succeeded."""

    def covers(self, moment: datetime) -> bool:
        """Return whether something written at a moment may be an output of the run."""
        return self.began - BEFORE <= moment <= self.ended + AFTER


def evenly(count: int, most: int) -> list[int]:
    """Return the places of no more than so many out of a count, at equal distances."""
    if count <= most:
        return list(range(count))
    return [place * count // most for place in range(most)]


def parents_of(keys: Iterable[str]) -> list[str]:
    """Return the folders, the root among them, in which the folders of keys may have neighbours."""
    found: Counter[str] = Counter()
    for key in keys:
        places = [place for place, character in enumerate(key) if character == "/"]
        found.update(key[: place + 1] for place in (-1, *places[:-1][: _LEVELS - 1]) if places)
    return [parent for parent, _ in found.most_common(_PARENTS)]


def stems_of(key: str, folders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what the key that an item was made of may be, less its extension, likely ones first.

    :param folders: neighbours by the folder that they are in, without slashes
    """
    stems = filter(None, _stems(_without_extension(key), folders))
    return list(islice(dict.fromkeys(stems), MOST_STEMS))


def _without_extension(key: str) -> str:
    base, dot, extension = key.rpartition(".")
    named = dot and base and not base.endswith("/")
    short = 0 < len(extension) <= _LONGEST_EXTENSION and extension.isalnum()
    return base if named and short else key


def _stems(base: str, folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    folder, slash, name = base.rpartition("/")
    names = list(dict.fromkeys(_without_affix(name)))
    elsewhere = list(dict.fromkeys(_other_folders(folder.split("/"), folders))) if slash else []
    yield from (f"{folder}{slash}{one}" for one in names[:_NAMES_FIRST])
    for some in (names[:1], names[1:_NAMES_ELSEWHERE]):
        yield from (f"{other}{one}" for other in elsewhere for one in some)
    yield from (f"{folder}{slash}{one}" for one in names[_NAMES_FIRST:])


def _without_affix(name: str) -> Iterator[str]:
    """Yield a name, and what is left of it without some of its words."""
    tokens = _TOKENS.findall(name)
    yield name
    for end in range(len(tokens) - 1, 0, -1):
        if len(tokens) - end <= _AFFIX_TOKENS or not tokens[end].isalnum():
            yield "".join(tokens[:end])
    for begin in range(1, len(tokens)):
        if not tokens[begin - 1].isalnum():
            yield "".join(tokens[begin:])
    for length in range(1, _AFFIX_TOKENS + 1):
        for begin in range(1, len(tokens) - length):
            # Words that merely stand in the middle of a name are no affix.
            if not (tokens[begin].isalnum() and tokens[begin + length - 1].isalnum()):
                yield "".join(tokens[:begin] + tokens[begin + length :])


def _other_folders(own: Sequence[str], folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield folders without some of the own ones, or with another in place of one."""
    for length in range(1, len(own) + 1):
        for begin in range(len(own) - length + 1):
            left = (*own[:begin], *own[begin + length :])
            yield "".join(f"{part}/" for part in left)
    for level, part in enumerate(own[:_LEVELS]):
        above = "".join(f"{one}/" for one in own[:level])
        below = "".join(f"{one}/" for one in own[level + 1 :])
        # Where only numbers differ, one day follows the other.
        others = (one for one in folders.get(above, ()) if _less_digits(one) != _less_digits(part))
        yield from (f"{above}{one}/{below}" for one in others)


def _less_digits(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


class Looked(NamedTuple):
    """What a look at new items has found."""

    sample: int
    """How many were looked at."""

    suspects: int
    """Those of them that were written while the function was called."""

    looked_up: int
    """Those of these whose names were looked up."""

    named: int
    """Those that have the name of another, whenever that was called."""

    pairs: int
    """Those that have the name of one that was called when they were written."""

    @property
    def share(self) -> float:
        """Which share of the new items looks like outputs."""
        return self.pairs / self.looked_up * self.suspects / self.sample if self.pairs else 0.0

    @property
    def is_feedback(self) -> bool:
        """Whether so much looks like outputs that a run must stop.

        Where each day has a folder with files of the same names, all have the name of another, and
        some are written by chance when that is called: of outputs, all are.
        """
        if self.sample < FEWEST:
            return self.pairs == self.sample >= VERY_FEW
        return self.pairs >= FEWEST and self.share >= LEAST_SHARE and 2 * self.pairs >= self.named
