"""Recognize a file: its compression, format, encoding and delimiter, as given or as found."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from retrofill.sources.scanners.compression import GZIP_MAGIC, CorruptFile, gunzip
from retrofill.sources.scanners.csv_rows import DELIMITERS, CsvScanner
from retrofill.sources.scanners.encodings import AUTO, Encoding, recognize_encoding
from retrofill.sources.scanners.json_lines import JsonLinesScanner
from retrofill.sources.scanners.scanner import LONGEST_ROW, Scanner

LOOKED_AT = 1 << 16
"""Bytes of a decompressed file from which its format is recognized."""

_DELIMITER_WORDS = {delimiter: name for name, delimiter in DELIMITERS.items()}
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "jsonl",
}
_ENDINGS_GZIP = (".gz", ".gzip")


class Asked(NamedTuple):
    """The user's settings about the files; AUTO: recognize it."""

    format: str = AUTO
    encoding: str = AUTO
    delimiter: str = AUTO
    columns: tuple[str, ...] | None = None
    """The names of a CSV file's columns if it has no header."""

    longest_row: int = LONGEST_ROW


class Recognized(NamedTuple):
    """How to read a file."""

    scanner: Scanner
    gzip: bool
    words: str
    """Its description."""


def recognize(name: str, chunks: Iterable[bytes], asked: Asked) -> Recognized:
    """Return how to read a file.

    :param name: its path, whose ending shows the format if it is a known one
    :param chunks: the file as it is stored, from its beginning; read no further than needed
    :raises ValueError: it cannot be read, or not as specified
    """
    stored = iter(chunks)
    first = _beginning(stored, len(GZIP_MAGIC))
    is_gzip = first.startswith(GZIP_MAGIC)
    stored = chain((first,), stored)
    beginning = _beginning(gunzip(stored) if is_gzip else stored, LOOKED_AT)
    encoding = recognize_encoding(beginning, asked.encoding)
    text = _text_of(beginning, encoding)
    format_ = asked.format if asked.format != AUTO else _format_of(name, text)
    scanner: Scanner
    if format_ == "jsonl":
        scanner = JsonLinesScanner(encoding=encoding, longest_row=asked.longest_row)
        words = "JSON Lines"
    else:
        delimiter = asked.delimiter if asked.delimiter != AUTO else _delimiter_of(name, text)
        scanner = CsvScanner(
            encoding=encoding,
            delimiter=delimiter,
            columns=asked.columns,
            longest_row=asked.longest_row,
        )
        named = "a header" if asked.columns is None else "no header"
        words = f"CSV with {named}, {_DELIMITER_WORDS.get(delimiter, delimiter)} as delimiter"
    packed = ", gzip" if is_gzip else ""
    return Recognized(scanner, is_gzip, f"{words}, {encoding.words}{packed}")


def _beginning(chunks: Iterator[bytes], count: int) -> bytes:
    """Return the first bytes: at least this many if there are, and fewer of a damaged file."""
    beginning = b""
    try:
        while len(beginning) < count:
            beginning += next(chunks)
    except StopIteration:
        pass
    except CorruptFile:
        if not beginning:
            raise
    return beginning


def _text_of(beginning: bytes, encoding: Encoding) -> str:
    return beginning[len(encoding.mark) : LOOKED_AT].decode(encoding.name, "replace")


def _format_of(name: str, text: str) -> str:
    path = _unpacked(name)
    for ending, format_ in _ENDINGS.items():
        if path.endswith(ending):
            return format_
    return "jsonl" if text.lstrip().startswith("{") else "csv"


def _unpacked(name: str) -> str:
    path = name.lower()
    for ending in _ENDINGS_GZIP:
        path = path.removesuffix(ending)
    return path


def _delimiter_of(name: str, text: str) -> str:
    """Return the delimiter that divides the first row into most fields; a comma if none does."""
    if _unpacked(name).endswith(".tsv"):
        return "\t"
    counts = {}
    for delimiter in DELIMITERS.values():
        rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
        try:
            counts[delimiter] = len(next((row for row in rows if row), []))
        except csv.Error:
            counts[delimiter] = 0
    return max(counts, key=counts.__getitem__)
