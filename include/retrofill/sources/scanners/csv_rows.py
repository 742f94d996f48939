"""CSV: rows of quoted fields, and their offsets, which the standard reader does not report."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from retrofill.sources.scanners.compression import skip
from retrofill.sources.scanners.encodings import Encoding
from retrofill.sources.scanners.lines import Overlong, read_lines
from retrofill.sources.scanners.scanner import (
    LONGEST_ROW,
    Head,
    Malformed,
    Place,
    Row,
    Scanner,
)

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "vertical bar": "|"}
"""The possible separators of fields, by name."""


class _Unending(Exception):
    """A quoted field continues past the longest row."""


class _Feed:
    """Feeds lines to the standard reader, and counts their bytes.

    The reader takes only the lines of one row at a time, so the row is everything fed since its
    beginning. `end` is the byte after the last line.
    """

    def __init__(
        self, lines: Iterator[bytes | Overlong], at: int, encoding: str, limit: int
    ) -> None:
        self.begin = self.end = at
        self.at_end = False
        self.undecodable = ""
        self.overlong = 0
        self._lines = lines
        self._encoding = encoding
        self._limit = limit

    def __iter__(self) -> Iterator[str]:
        encoding, limit = self._encoding, self._limit
        for line in self._lines:
            if isinstance(line, Overlong):
                first = self.begin == self.end
                self.end += line.length
                if not first or line.quotes % 2:
                    raise _Unending
                self.overlong = line.length
                yield ""
                continue
            self.end += len(line)
            if self.end - self.begin > limit:
                raise _Unending
            try:
                yield line.decode(encoding)
            except UnicodeDecodeError as error:
                at = self.end - len(line) + error.start
                self.undecodable = self.undecodable or (
                    f"byte {at} is not {encoding} ({error.reason})"
                )
                yield line.decode(encoding, "replace")
        self.at_end = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvScanner(Scanner):
    """Reads CSV (RFC 4180) with any delimiter and encoding.

    Source: https://www.rfc-editor.org/rfc/rfc4180. Lines may end with LF, CR LF or CR CR LF. Empty
    lines are skipped. A quote inside a quoted field is doubled.
    """

    encoding: Encoding
    delimiter: str = ","
    columns: tuple[str, ...] | None = None
    """The names of the columns of files without a header; None: the first row has them."""

    longest_row: int = LONGEST_ROW
    """In bytes."""

    def head(self, chunks: Iterable[bytes]) -> Head:
        """Return the columns: those that were given, or those of the header."""
        start = Place(len(self.encoding.mark), 1)
        if self.columns is not None:
            return Head(self.columns, start)
        first = next(self._records(skip(chunks, start.byte), start), None)
        if first is None:
            return Head((), start)
        if isinstance(first, Malformed):
            return Head((), start, f"its header cannot be read: {first.why}")
        names = tuple(first.value)
        return Head(names, Place(first.end, 1), _problem_of(names))

    def rows(self, chunks: Iterable[bytes], head: Head, start: Place) -> Iterator[Row | Malformed]:
        """Read rows; one with more or fewer fields than there are columns is malformed."""
        width = len(head.columns)
        for row in self._records(chunks, start):
            if isinstance(row, Row) and len(row.value) != width:
                has = f"it has {len(row.value)} fields, but there are {width} columns"
                yield Malformed(row.place, row.end, has)
            else:
                yield row

    def picker(self, head: Head, names: Sequence[str]) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks fields of a row.

        :raises KeyError: there is no such column
        """
        places = []
        for name in names:
            if name not in head.columns:
                raise KeyError(name)
            places.append(head.columns.index(name))
        if len(places) == 1:
            [place] = places
            return lambda row: (row.value[place],)
        pick = itemgetter(*places) if places else lambda _: ()
        return lambda row: pick(row.value)

    def _records(self, chunks: Iterable[bytes], start: Place) -> Iterator[Row | Malformed]:
        limit, encoding = self.longest_row, self.encoding.name
        # The limit applies to the process; it counts characters, of which there are no more than
        # bytes.
        csv.field_size_limit(max(csv.field_size_limit(), limit))
        lines = read_lines(chunks, limit, encoding=encoding, quote=b'"')
        feed = _Feed(lines, start.byte, encoding, limit)
        reader = csv.reader(iter(feed), delimiter=self.delimiter, strict=True)
        number = start.row
        while True:
            try:
                for value in reader:
                    place, feed.begin = Place(feed.begin, number), feed.end
                    if feed.undecodable or feed.overlong:
                        yield Malformed(place, feed.end, _why(feed, limit))
                        feed.undecodable, feed.overlong = "", 0
                    elif value:
                        yield Row(place, feed.end, value)
                    else:
                        continue
                    number += 1
            except _Unending:
                why = f"it is longer than {limit:,} bytes; a quote may not be closed"
            except csv.Error as error:
                if not feed.at_end:
                    place, feed.begin = Place(feed.begin, number), feed.end
                    yield Malformed(place, feed.end, feed.undecodable or str(error))
                    feed.undecodable = ""
                    number += 1
                    continue
                why = "the file ends within it; a quote is not closed"
            else:
                return
            yield Malformed(Place(feed.begin, number), feed.end, why, fatal=True)
            return


def _why(feed: _Feed, limit: int) -> str:
    if feed.overlong:
        return f"it has {feed.overlong:,} bytes, more than {limit:,}"
    return feed.undecodable


def _problem_of(names: Sequence[str]) -> str:
    """Return why a header cannot be used; empty if it can."""
    for place, name in enumerate(names, 1):
        if not name.strip():
            return f"column {place} of its header has no name"
        if name in names[: place - 1]:
            return f"its header has the column {name!r} twice"
    return ""
