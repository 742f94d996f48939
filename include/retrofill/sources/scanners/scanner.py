"""What every scanner can do: read the head of a file, and its rows from any of their beginnings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

LONGEST_ROW = 6 * 1024 * 1024
"""Bytes of the longest row that is read: no request carries more."""


class Place(NamedTuple):
    """Where a row begins in a file."""

    byte: int
    """Its offset in the decompressed file, from 0."""

    row: int
    """Its number, from 1. Rows are counted without the header and empty lines."""


class Row(NamedTuple):
    """One row of a file."""

    place: Place

    end: int
    """The byte behind it, where the next row is looked for."""

    value: Sequence[str] | str
    """The fields of a CSV row in the order of the columns; the text of a line of JSON."""


class Malformed(NamedTuple):
    """A stretch of a file that is no row."""

    place: Place
    end: int

    why: str
    """What is wrong, as the rest of a sentence about the row."""

    fatal: bool = False
    """Whether nobody can tell where the next row begins, so that nothing behind it is read."""


class Head(NamedTuple):
    """What stands before the first row."""

    columns: tuple[str, ...]
    """The names of the columns. Rows of JSON name their own: these are the first row's."""

    first: Place
    """Where the first row is looked for."""

    problem: str = ""
    """Why the rows cannot be read at all; empty if they can."""


class Scanner(Protocol):
    """Reads rows of one format; it does no I/O of its own, and holds one row at a time."""

    def head(self, chunks: Iterable[bytes]) -> Head:
        """Read the head of a file.

        :param chunks: the decompressed file from its beginning; read no further than needed
        """

    def rows(self, chunks: Iterable[bytes], head: Head, start: Place) -> Iterator[Row | Malformed]:
        """Read rows.

        :param chunks: the decompressed file from the start's byte on
        :param start: where the head says that rows begin, or the end of a row or of a malformed
            one with the number behind its own
        """

    def content(self, head: Head, row: Row) -> str:
        """Return a row as one JSON text: a CSV row as an object of texts, JSON as it stands."""

    def names(self, head: Head, row: Row) -> tuple[str, ...]:
        """Return the names of a row's columns; those of JSON may differ from row to row."""

    def picker(self, head: Head, names: Sequence[str]) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks columns of a row, as text; None: the row lacks it.

        The function takes a row and returns a value for each name.

        :raises KeyError: the file has no such column
        """
