"""The protocol of scanners: read the head of a file, and its rows, starting at any of them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

LONGEST_ROW = 6 * 1024 * 1024
"""Bytes of the longest row that is read; no request can carry more."""


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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
    """The byte after it, where the next row may begin."""

    value: Sequence[str] | str
    """The fields of a CSV row in the order of the columns, or the text of a line of JSON."""


class Malformed(NamedTuple):
    """A part of a file that is not a row."""

    place: Place
    end: int

    why: str
    """The problem, as the rest of a sentence about the row."""

    fatal: bool = False
    """Whether the start of the next row is unknown, so that nothing after it is read."""


class Head(NamedTuple):
    """The part of a file before its first row."""

    columns: tuple[str, ...]
    """The names of the columns. Rows of JSON name their own: these are the first row's."""

    first: Place
    """Where the first row may begin."""

    problem: str = ""
    """Why the rows cannot be read at all; empty if they can."""


class Scanner(Protocol):
    """Reads rows of one format. It does no I/O itself, and holds one row at a time."""

    def head(self, chunks: Iterable[bytes]) -> Head:
        """Read the head of a file.

        :param chunks: the decompressed file from its beginning; read no further than needed
        """

    def rows(self, chunks: Iterable[bytes], head: Head, start: Place) -> Iterator[Row | Malformed]:
        """Read rows.

        :param chunks: the decompressed file from the start's byte on
        :param start: where rows begin according to the head; or the end of a row or malformed
            part, with the next row number
        """

    def content(self, head: Head, row: Row) -> str:
        """Return a row as one JSON text: fields as an object of texts, JSON unchanged."""
        return _to_json(dict(zip(head.columns, row.value, strict=True)))

    def names(self, head: Head, row: Row) -> tuple[str, ...]:
        """Return the names of a row's columns; those of JSON may differ from row to row."""
        del row
        return head.columns

    def picker(self, head: Head, names: Sequence[str]) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks columns of a row, as text; None: the row lacks it.

        The function takes a row and returns a value for each name.

        :raises KeyError: the file has no such column
        """
