"""Sampling: choose items that represent all of them, by key, size and age."""

from collections.abc import Sequence
from random import Random


def systematic(of: int, take: int, rng: Random | None = None) -> list[int]:
    """Return evenly spaced indexes, each equally likely; all of them if there are no more.

    :param of: how many indexes there are
    :param take: how many are wanted
    :param rng: None: begin with index 0, instead of a random one
    """
    if take >= of:
        return list(range(of))
    begin = rng.randrange(of) if rng else 0
    return [(begin + at * of) // take for at in range(take)]


def choose(columns: Sequence[Sequence[float]], take: int, rng: Random) -> list[int]:
    """Choose items so that each column is covered evenly; all are equally likely.

    Each column chooses equally many: a systematic sample along its values, of the items that
    earlier columns have left. So the extremes of a column are represented in proportion.

    :param columns: a value of each item; equal values keep the order of the items
    :returns: the indexes of the chosen items, in ascending order
    """
    left = list(range(len(columns[0])))
    chosen: set[int] = set()
    for at, column in enumerate(columns):
        part = -(-(take - len(chosen)) // (len(columns) - at))
        ranked = sorted(left, key=column.__getitem__)
        chosen.update(ranked[place] for place in systematic(len(ranked), part, rng))
        left = [item for item in left if item not in chosen]
    return sorted(chosen)
