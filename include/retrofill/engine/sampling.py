"""Sampling: which items stand for all of them, by their keys, their sizes and their ages."""

from collections.abc import Sequence
from random import Random


def systematic(of: int, take: int, chance: Random) -> list[int]:
    """Return places that lie evenly apart, each as likely as any other; all, if there are no more.

    :param of: how many places there are
    :param take: how many are wanted
    """
    if take >= of:
        return list(range(of))
    begin = chance.randrange(of)
    return [(begin + at * of) // take for at in range(take)]


def choose(columns: Sequence[Sequence[float]], take: int, chance: Random) -> list[int]:
    """Choose so many items that each column is covered evenly; each item has the same chance.

    Each column has its part of the choice: a systematic sample, along its values, of what the
    parts before have left. Extremes of a column are therefore there in proportion.

    :param columns: a value of each item; those that are the same stay in the order of the items
    :returns: the places of the items that are chosen, rising
    """
    left = list(range(len(columns[0])))
    chosen: set[int] = set()
    for at, column in enumerate(columns):
        part = -(-(take - len(chosen)) // (len(columns) - at))
        ranked = sorted(left, key=column.__getitem__)
        chosen.update(ranked[place] for place in systematic(len(ranked), part, chance))
        left = [item for item in left if item not in chosen]
    return sorted(chosen)
