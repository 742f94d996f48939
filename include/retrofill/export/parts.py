"""Parts: the files of a report, each of a bounded size, written row by row."""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, Any, NamedTuple

from retrofill.model.report_files import DETAILS, ReportedItem, ReportForm


class Digested(io.RawIOBase):
    """A file that counts the bytes written to it, and computes their digests."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.bytes = 0
        self.sha256 = hashlib.sha256()
        # Manifests of completion reports have an MD5.
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._file = file

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    def write(self, data: Any) -> int:
        """Write more bytes."""
        chunk = bytes(data)
        self._file.write(chunk)
        self.sha256.update(chunk)
        self.md5.update(chunk)
        self.bytes += len(chunk)
        return len(chunk)


class Table(NamedTuple):
    """The columns of a report, and their values."""

    form: ReportForm
    place: Mapping[str, str]
    """The place of the source."""

    details: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return (*self.form.columns, *(DETAILS if self.details else ()))


class _Lines(list[str]):
    """A file that keeps each row written to it."""

    write = list.append


class CsvPart:
    """A CSV part."""

    def __init__(self, file: Digested, table: Table) -> None:
        self._file = file
        self._row = table.form.row(table.place)
        self._write_key = table.form.write_key
        self._details = table.details
        if table.form.header:
            self._put([table.columns])

    def write(self, items: Sequence[ReportedItem]) -> None:
        """Write items, one per line unless their errors have several."""
        row, write_key = self._row, self._write_key
        rows = [row(item._replace(key=write_key(item.key))) for item in items]
        if self._details:
            rows = [
                (*cells, *map(_as_text, details_of(item)))
                for cells, item in zip(rows, items, strict=True)
            ]
        self._put(rows)

    def _put(self, rows: Iterable[Sequence[str]]) -> None:
        lines = _Lines()
        # This terminator makes the writer quote fields that contain a CR or an LF.
        csv.writer(lines, lineterminator="\r\n").writerows(rows)
        self._file.write("".join(f"{line[:-2]}\n" for line in lines).encode())

    def end(self) -> None:
        """Write nothing more."""


def details_of(item: ReportedItem) -> tuple[Any, ...]:
    """Return the values of the columns :data:`DETAILS`."""
    return (
        item.attempts,
        item.unsure,
        item.run_id,
        item.request_id or "",
        item.function_version or "",
        item.settled_at,
        item.identifier,
    )


def _as_text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    return "" if cell is None else str(cell)
