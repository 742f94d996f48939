"""Rows of many files: the division into partitions, and the cursor that names file, byte, row."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, tee
from typing import Any, NamedTuple, TypeVar

from retrofill.model.errors import ConfigError, UnfitSource
from retrofill.model.listing import Partition
from retrofill.sources.files import File, Files
from retrofill.sources.scanners.compression import GZIP_MAGIC, CorruptFile, gunzip, skip
from retrofill.sources.scanners.csv_rows import CsvScanner
from retrofill.sources.scanners.recognize import Asked, recognize
from retrofill.sources.scanners.scanner import Head, Malformed, Place, Row, Scanner

log = logging.getLogger(__name__)

MOST_UNUSABLE = 1_000
"""One of this many first rows (or groups of them) of a file must be usable."""

_PARQUET = b"PAR1"
"""The first and last bytes of a Parquet file."""

_FILES = "files"
_LABEL_CHARS = 60

Read = TypeVar("Read", bound=tuple[Any, ...])
"""A source's reading of a row: a tuple that begins with the row."""


class _Cursor(NamedTuple):
    """Where reading continues in a partition."""

    file: int
    """The index of the file in the partition, from 0."""

    byte: int
    row: int

    def __str__(self) -> str:
        return f"{self.file}:{self.byte}:{self.row}"

    @classmethod
    def parse(cls, text: str) -> "_Cursor":
        return cls(*map(int, text.split(":")))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """A file that is being read."""

    file: File
    scanner: Scanner
    head: Head
    rows: Iterator[Row | Malformed]
    number: int
    """Its index in the partition."""

    recognized: bool
    """Whether its columns were recognized without a header."""

    from_beginning: bool
    """Whether it is read from its beginning, and not from a cursor."""

    count: int | None = None
    """The number of its rows; None: unknown."""

    def cursor_behind(self, row: Row | Malformed) -> str:
        """Return the cursor at which reading continues after a row."""
        return str(_Cursor(self.number, row.end, row.place.row + 1))

    def leave_out(self, row: Row | Malformed, why: str, *, stop: bool) -> None:
        """Log a malformed row.

        :param stop: whether a malformed row ends the run
        :raises UnfitSource: it does, or nothing after the row can be read
        """
        byte, number = row.place
        if stop or (isinstance(row, Malformed) and row.fatal):
            raise UnfitSource(
                f"file {self.file.path}, row {number:,} at byte {byte:,}: {why}. Nothing after it"
                " was read"
            )
        log.warning("left out: file %s, row %d at byte %d: %s", self.file.path, number, byte, why)

    def held_back(self, read: Iterator[Read], is_usable: Callable[[Read], bool]) -> Iterator[Read]:
        """Yield a source's readings of the rows, once one of them is usable.

        So no row of an unsuitable file counts as read, and each cursor is after a usable row.

        :raises UnfitSource: none of the first rows is usable
        """
        held: list[Read] = []
        for one in read if self.from_beginning else ():
            held.append(one)
            if is_usable(one):
                break
            if len(held) == MOST_UNUSABLE:
                raise self._unusable(one[0])
        else:
            if held:
                raise self._unusable(held[-1][0])
        yield from held
        yield from read

    def _unusable(self, last: Row | Malformed) -> UnfitSource:
        return UnfitSource(
            f"file {self.file.path}: none of its rows up to row {last.place.row:,} can be used, for"
            " the reasons that the log shows; correct format, encoding, delimiter or columns"
        )


class RowFiles:
    """The rows of files.

    :param asked: the user's settings about the files
    :param order: the sort key of the files of a partition, from their path
    :param names: returns the names of a CSV file's columns from its first row, or None if that row
        is a header
    :param parquet: whether they may be Parquet, where rows have only numbers
    """

    def __init__(
        self,
        files: Files,
        asked: Asked,
        *,
        order: Callable[[str], str] = str,
        names: Callable[[Sequence[str]], tuple[str, ...] | None] = lambda _: None,
        parquet: bool = False,
    ) -> None:
        self._files = files
        self._asked = asked
        self._order = order
        self._names = names
        self._parquet = parquet

    def first(self) -> OpenedFile | None:
        """Find the files, and open the first; None: there are none.

        :raises ConfigError: there should be some, or the first cannot be read as specified
        :raises SourceError: there was no response
        """
        try:
            return self._open(self._found[0], 0, None) if self._found else None
        except UnfitSource as error:
            raise ConfigError(f"{self._files.location.param}: {error}") from error

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the files, in order, into parts of about the same number of bytes."""
        return divide(self._found, limit)

    def read(self, partition: Partition, cursor: str | None) -> Iterator[OpenedFile]:
        """Yield the files of a partition, one after another, starting at a cursor.

        :raises SourceError: one cannot be read, or has changed
        """
        files = [File(*file) for file in partition.description[_FILES]]
        start = None if cursor is None else _Cursor.parse(cursor)
        for number, file in enumerate(files):
            if start is not None and number < start.file:
                continue
            here = start if start is not None and number == start.file else None
            yield self._open(file, number, None if here is None else Place(here.byte, here.row))

    def estimate(self) -> int:
        """Return the approximate number of rows, from the first bytes of the first file."""
        found = self._found
        sample = next(self._files.read(found[0]), b"") if found else b""
        if not sample:
            return 0
        opened = self._open(found[0], 0, None)
        total = sum(file.size for file in found)
        if opened.count is not None:
            return round(total * opened.count / found[0].size)
        known = _until_cut_off(gunzip([sample])) if sample.startswith(GZIP_MAGIC) else [sample]
        content = skip(known, opened.head.first.byte)
        rows = sum(1 for _ in opened.scanner.rows(content, opened.head, opened.head.first))
        return round(total * rows / len(sample))

    @cached_property
    def _found(self) -> list[File]:
        return sorted(self._files.find(), key=lambda file: self._order(file.path))

    def _open(self, file: File, number: int, start: Place | None) -> OpenedFile:
        stored = self._files.read(file)
        first = next(stored, b"")
        stored = chain((first,), stored)
        if self._parquet and first.startswith(_PARQUET):
            return _opened_whole(file, number, start, stored)
        # Each keeps only chunks that another one has read, and only until this function returns.
        sample, header, stored = tee(stored, 3)
        try:
            scanner, gzip, words = recognize(file.path, sample, self._asked)
        except ValueError as error:
            raise UnfitSource(f"file {file.path}: {error}") from error
        head = scanner.head(_decompressed(file, header, gzip=gzip))
        names = self._names(head.columns) if isinstance(scanner, CsvScanner) else None
        if isinstance(scanner, CsvScanner) and names:
            scanner = replace(scanner, columns=names)
            head = scanner.head(())
            words = words.replace("with a header", "without a header")
        if head.problem:
            raise UnfitSource(f"file {file.path}: {head.problem}")
        columns = f", columns {', '.join(head.columns)}" if head.columns else ""
        log.info("file %s is %s%s", file.path, words, columns)
        place = start or head.first
        if start is None:
            content = skip(_decompressed(file, stored, gzip=gzip), place.byte)
        elif gzip:
            content = skip(_decompressed(file, self._files.read(file), gzip=True), place.byte)
        else:
            content = self._files.read(file, place.byte)
        return OpenedFile(
            file=file,
            scanner=scanner,
            head=head,
            rows=scanner.rows(content, head, place),
            number=number,
            recognized=bool(names),
            from_beginning=start is None,
        )


def _opened_whole(
    file: File, number: int, start: Place | None, chunks: Iterator[bytes]
) -> OpenedFile:
    """Open a Parquet file, whose end must be read before its rows."""
    # Otherwise every task would load pyarrow, usually for nothing.
    from retrofill.sources.scanners.parquet_rows import ParquetScanner  # noqa: PLC0415

    try:
        scanner = ParquetScanner.of(chunks)
    except ValueError as error:
        raise UnfitSource(f"file {file.path}: {error}") from error
    head = scanner.head(())
    log.info("file %s is Parquet, columns %s", file.path, ", ".join(head.columns))
    return OpenedFile(
        file=file,
        scanner=scanner,
        head=head,
        rows=scanner.rows((), head, start or head.first),
        number=number,
        recognized=False,
        from_beginning=start is None,
        count=scanner.count,
    )


def _decompressed(file: File, chunks: Iterator[bytes], *, gzip: bool) -> Iterator[bytes]:
    try:
        yield from gunzip(chunks) if gzip else chunks
    except CorruptFile as error:
        raise UnfitSource(f"file {file.path}: {error}") from error


def divide(files: Sequence[File], limit: int) -> list[Partition]:
    """Divide files, in their order, into at most this many partitions."""
    total = sum(file.size for file in files) or 1
    groups: dict[int, list[File]] = {}
    for file, end in zip(files, accumulate(file.size for file in files), strict=True):
        # A file belongs to the part that contains its middle.
        part = min(limit - 1, (2 * end - file.size) * limit // (2 * total))
        groups.setdefault(part, []).append(file)
    parts = list(groups.values()) or [[]]
    return [
        Partition(number, _label(group), {_FILES: [list(file) for file in group]})
        for number, group in enumerate(parts)
    ]


def _label(files: Sequence[File]) -> str:
    if not files:
        return "no files"
    name = files[0].path
    first = name if len(name) <= _LABEL_CHARS else f"…{name[1 - _LABEL_CHARS :]}"
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _until_cut_off(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the readable part of a file whose end is missing."""
    try:
        yield from chunks
    except CorruptFile:
        return
