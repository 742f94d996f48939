"""Feedback: whether new items look like the function's output for items that it processed.

A name alone proves nothing: people have photo.jpg and photo-2.jpg. An output is named after its
input, apart from an affix, a folder or an extension, *and* was written while its input was called.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

SAMPLE = 1_000
"""New items that are examined."""

LOOKED_UP = 100
"""The most of these whose names are compared with others."""

MOST_STEMS = 200
"""The most names that are looked up for an item."""

FEWEST = 10
"""Outputs that raise a suspicion. If fewer items are new, all must be outputs."""

VERY_FEW = 3
"""Fewer items than this are never called feedback."""

LEAST_FRACTION = 0.1
"""The fraction of new items that must look like outputs: the others may come from elsewhere."""

BEFORE = timedelta(seconds=2)
"""How long before its call an output may seem to be written: sources report whole seconds."""

AFTER = timedelta(seconds=10)
"""How long after its call an output may still be written."""

_LEVELS = 3
_PARENTS = 24
_AFFIX_TOKENS = 6
_NAMES_FIRST = 60
_NAMES_ELSEWHERE = 8
_LONGEST_EXTENSION = 10
_TOKENS = re.compile(r"[A-Z]*[^\W\d_A-Z]+|[A-Z]+|\d+|[\W_]")


class NewItem(NamedTuple):
    """A new item."""

    key: str
    modified: datetime


class Calling(NamedTuple):
    """When a run called the function, from its first plan to its end."""

    run_id: int
    began: datetime
    ended: datetime
    calls: int
    """Successful calls."""

    items: int
    """Successful items."""

    def covers(self, time: datetime) -> bool:
        """Return whether something written at this time may be an output of the run."""
        return self.began - BEFORE <= time <= self.ended + AFTER


def parents_of(keys: Iterable[str]) -> list[str]:
    """Return the folders, including the root, in which the folders of keys may have neighbours."""
    found: Counter[str] = Counter()
    for key in keys:
        places = [place for place, character in enumerate(key) if character == "/"]
        found.update(key[: place + 1] for place in (-1, *places[:-1][: _LEVELS - 1]) if places)
    return [parent for parent, _ in found.most_common(_PARENTS)]


def stems_of(key: str, folders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return possible keys of an item's input, without extension, likely ones first.

    :param folders: neighbouring folders by parent folder, without slashes
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
    """Yield a name, and the same without some of its words."""
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
            # Words in the middle of a name are not an affix.
            if not (tokens[begin].isalnum() and tokens[begin + length - 1].isalnum()):
                yield "".join(tokens[:begin] + tokens[begin + length :])


def _other_folders(own: Sequence[str], folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the path without some of its folders, or with one of them replaced by another."""
    for length in range(1, len(own) + 1):
        for begin in range(len(own) - length + 1):
            left = (*own[:begin], *own[begin + length :])
            yield "".join(f"{part}/" for part in left)
    for level, part in enumerate(own[:_LEVELS]):
        above = "".join(f"{one}/" for one in own[:level])
        below = "".join(f"{one}/" for one in own[level + 1 :])
        # Folders that differ only in digits are dates, such as one per day.
        for other in folders.get(above, ()):
            if _without_digits(other) != _without_digits(part):
                yield f"{above}{other}/{below}"


def _without_digits(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


class Findings(NamedTuple):
    """The result of examining new items."""

    sample: int
    """How many were examined."""

    suspects: int
    """Those that were written while the function was called."""

    looked_up: int
    """The suspects whose names were looked up."""

    named: int
    """Those named after another item, whenever that was called."""

    pairs: int
    """Those named after an item that was called when they were written."""

    @property
    def fraction(self) -> float:
        """The fraction of new items that look like outputs."""
        return self.pairs / self.looked_up * self.suspects / self.sample if self.pairs else 0.0

    @property
    def is_feedback(self) -> bool:
        """Whether enough items look like outputs to stop the run.

        If each day has a folder with files of the same names, every item is named after another,
        and a few happen to be written while that one is called. Real outputs all are.
        """
        if self.sample < FEWEST:
            return self.pairs == self.sample >= VERY_FEW
        return (
            self.pairs >= FEWEST
            and self.fraction >= LEAST_FRACTION
            and 2 * self.pairs >= self.named
        )
