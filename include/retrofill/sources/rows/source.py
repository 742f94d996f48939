"""Rows in files as a source: a row, or a group of rows, is an item."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from retrofill.engine.identity import identifier_of
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.items import Item
from retrofill.model.listing import Page, Partition
from retrofill.sources.files import Files
from retrofill.sources.keys import key_of
from retrofill.sources.row_files import OpenedFile, RowFiles
from retrofill.sources.scanners.recognize import Asked
from retrofill.sources.scanners.scanner import LONGEST_ROW, Malformed, Row
from retrofill.sources.source import Source

PAGE_ITEMS = 1_000
PAGE_CHARS = 1 << 20
"""Characters of content after which a page ends."""

_PATH_BYTES = 1_000
_MALFORMED = ("malformed",)
_TOO_LARGE = ("too_large",)
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_Outcome: TypeAlias = tuple[Row | Malformed, Item | None, Sequence[str]]
"""The last row read, the item that ends with it if any, and the reasons of left-out rows."""


class Identity(NamedTuple):
    """How a row is identified from run to run."""

    columns: tuple[str, ...] = ()
    """Its values in these columns; empty: its position, as long as the file is the same."""

    rows_per_item: int = 1
    """How many rows of a file make one item; more than one only by position."""


class RowSource(Source):
    """The rows of CSV or JSON Lines files.

    By position, keys are ``file#row``, and a file that has changed has other items. By columns,
    rows with the same values are one item, wherever they are.

    :param asked: the user's settings about the files
    :param stop: whether a malformed row ends the run; if not, it is left out
    """

    def __init__(self, files: Files, asked: Asked, *, identity: Identity, stop: bool) -> None:
        home = files.location.home
        by = f" by {_to_json(identity.columns)}" if identity.columns else ""
        self.name = f"rows of {home or 'file://'}{by}"
        self.ordered = not identity.columns
        self._above = f"{home}/" if home else ""
        self._identity = identity
        self._stop = stop
        self._identifier = identifier_of(self.name)
        self._param = files.location.param
        # Keys ascend only if the files come in the order of their keys' prefixes.
        self._rows = RowFiles(files, asked, order=lambda path: f"{self._file(path)}#")

    def check(self) -> bool:
        """Find the files, and read the first row of the first one.

        :raises ConfigError: there are no files, or the first one does not match the params
        :raises SourceError: there was no response; a retry may succeed
        """
        opened = self._rows.first()
        if opened is None:
            return False
        try:
            if opened.head.columns:
                self._picker(opened)
        except UnfitSource as error:
            raise ConfigError(f"key_columns: {error}") from error
        try:
            return next(self._outcomes(opened), None) is not None
        except UnfitSource as error:
            raise ConfigError(f"{self._param}: {error}") from error

    def partitions(self, limit: int) -> list[Partition]:
        """Divide whole files into parts of about the same number of bytes."""
        return self._rows.partitions(limit)

    def estimate(self) -> int | None:
        """Return the approximate number of items, from the beginning of the first file."""
        return -(-self._rows.estimate() // self._identity.rows_per_item)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Read the files of a partition, one after another.

        :raises SourceError: one cannot be read or has changed, or a malformed row stops it; the
            rows before were yielded
        """
        for opened in self._rows.read(partition, cursor):
            yield from self._read(opened)

    def _outcomes(self, opened: OpenedFile) -> Iterator[_Outcome]:
        if self._identity.columns:
            outcomes = self._by_columns(opened)
        elif self._identity.rows_per_item > 1:
            outcomes = self._groups(opened)
        else:
            outcomes = self._by_place(opened)
        return opened.held_back(outcomes, _is_usable)

    def _read(self, opened: OpenedFile) -> Iterator[Page]:
        items: list[Item] = []
        left_out = Counter[str]()
        chars = 0
        last: Row | Malformed | None = None
        try:
            for row, item, reasons in self._outcomes(opened):
                last = row
                left_out.update(reasons)
                if item is not None:
                    items.append(item)
                    chars += len(item.content)
                if len(items) + left_out.total() >= PAGE_ITEMS or chars >= PAGE_CHARS:
                    yield Page(items, opened.cursor_behind(row), dict(left_out))
                    items, left_out, chars, last = [], Counter(), 0, None
        except SourceError:
            if last is not None:
                yield Page(items, opened.cursor_behind(last), dict(left_out))
            raise
        if last is not None:
            yield Page(items, opened.cursor_behind(last), dict(left_out))

    def _by_place(self, opened: OpenedFile) -> Iterator[_Outcome]:
        content_of, head, identifier = opened.scanner.content, opened.head, self._identifier
        file, tag = self._file(opened.file.path), opened.file.tag
        for row in opened.rows:
            if isinstance(row, Malformed):
                opened.leave_out(row, row.why, stop=self._stop)
                yield row, None, _MALFORMED
                continue
            content = content_of(head, row)
            if len(content) > LONGEST_ROW:
                yield row, None, _TOO_LARGE
                continue
            key = f"{file}#{row.place.row:012}"
            yield row, Item(identifier(key, tag), key, content), ()

    def _groups(self, opened: OpenedFile) -> Iterator[_Outcome]:
        """Make an item of each group of rows; malformed ones keep their position in their group."""
        most = self._identity.rows_per_item
        file, version = self._file(opened.file.path), f"{opened.file.tag} {most}"

        def group_of(row: Row | Malformed) -> int:
            return (row.place.row - 1) // most

        for number, rows in groupby(opened.rows, group_of):
            contents: list[str] = []
            reasons: list[str] = []
            chars = 0
            last: Row | Malformed
            for last in rows:
                if isinstance(last, Malformed):
                    opened.leave_out(last, last.why, stop=self._stop)
                    reasons += _MALFORMED
                elif chars <= LONGEST_ROW:
                    contents.append(opened.scanner.content(opened.head, last))
                    chars += len(contents[-1]) + 1
            item = None
            if chars > LONGEST_ROW:
                reasons += _TOO_LARGE
            elif contents:
                key = f"{file}#{number * most + 1:012}"
                content = f"[{','.join(contents)}]"
                item = Item(self._identifier(key, version), key, content)
            yield last, item, reasons

    def _by_columns(self, opened: OpenedFile) -> Iterator[_Outcome]:
        content_of, head = opened.scanner.content, opened.head
        names = self._identity.columns
        # A file without rows, even one without a header, lacks nothing.
        pick = None
        for row in opened.rows:
            why = row.why if isinstance(row, Malformed) else ""
            if isinstance(row, Row):
                pick = pick or self._picker(opened)
                values = pick(row)
                lacking = [name for name, one in zip(names, values, strict=True) if one is None]
                if lacking:
                    why = f"it has no text or number in {', '.join(lacking)}"
                elif not any(values):
                    why = f"it is empty in {', '.join(names)}"
                else:
                    content = content_of(head, row)
                    if len(content) > LONGEST_ROW:
                        yield row, None, _TOO_LARGE
                    else:
                        text = str(values[0]) if len(values) == 1 else _to_json(list(values))
                        item = Item(self._identifier(text, ""), key_of(text), content)
                        yield row, item, ()
                    continue
            opened.leave_out(row, why, stop=self._stop)
            yield row, None, _MALFORMED

    def _picker(self, opened: OpenedFile) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks the columns of the identity.

        :raises UnfitSource: the file lacks one
        """
        try:
            return opened.scanner.picker(opened.head, self._identity.columns)
        except KeyError as error:
            raise UnfitSource(
                f"file {opened.file.path} has no column {error.args[0]!r}; it has"
                f" {', '.join(map(repr, opened.head.columns))}"
            ) from error

    def _file(self, path: str) -> str:
        return key_of(path.removeprefix(self._above), _PATH_BYTES)


def _is_usable(outcome: _Outcome) -> bool:
    _, item, reasons = outcome
    return item is not None or not set(reasons) <= set(_MALFORMED)
