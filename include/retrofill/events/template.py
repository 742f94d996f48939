"""Templates: JSON with holes, compiled once and filled with the values of items.

A template is split at its holes, and its pieces are joined around the values of each item. This is
several times as fast as a dictionary and ``json.dumps``.
"""

from collections.abc import Callable, Sequence

HOLE = "\0"
"""Marks in a template where an item's value goes. JSON text never contains this character."""

SEPARATOR = ","
"""The separator between two records of a payload."""


def filled(template: str) -> Callable[..., list[str]]:
    """Return the function that fills a template for many items, given a column for each hole.

    It returns parts: pieces and values alternate, the same number for each item. Joined, they are
    the items' records, each followed by a SEPARATOR. No record is built on its own.

    >>> filled(f'{{"key":"{HOLE}"}}')(["a", "b"])
    ['{"key":"', 'a', '"},', '{"key":"', 'b', '"},']
    """
    first, *others = f"{template}{SEPARATOR}".split(HOLE)
    row = [first]
    for piece in others:
        row += ("", piece)

    def fill(*columns: Sequence[str]) -> list[str]:
        parts = row * len(columns[0])
        for hole, column in enumerate(columns):
            parts[2 * hole + 1 :: len(row)] = column
        return parts

    return fill


def records_of(parts: Sequence[str], items: int) -> list[str]:
    """Join the parts of items into their records."""
    step = len(parts) // items if items else 1
    return [
        "".join(parts[at : at + step]).removesuffix(SEPARATOR) for at in range(0, len(parts), step)
    ]
