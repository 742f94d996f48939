"""Parquet: rows of columns. Their description is at the file's end, so the file is kept on disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from tempfile import NamedTemporaryFile
from typing import Any, Self

import pyarrow as pa
from pyarrow import parquet

from retrofill.sources.scanners.scanner import Head, Malformed, Place, Row, Scanner

_BATCH_ROWS = 10_000


class ParquetScanner(Scanner):
    """Reads the rows of one file, which it holds open. Its rows are always well formed.

    Places have only the numbers of rows.

    :param file: the open file
    """

    def __init__(self, file: parquet.ParquetFile) -> None:
        self._file = file

    @classmethod
    def of(cls, chunks: Iterable[bytes]) -> Self:
        """Return the scanner of a file that comes in chunks.

        :raises ValueError: it is not Parquet, or damaged
        """
        with NamedTemporaryFile(prefix="retrofill-") as kept:
            for chunk in chunks:
                kept.write(chunk)
            kept.flush()
            try:
                # Without its name, it exists for as long as it is open.
                return cls(parquet.ParquetFile(pa.OSFile(kept.name)))
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"it is damaged Parquet ({error})") from error

    @property
    def count(self) -> int:
        """The number of rows."""
        count: int = self._file.metadata.num_rows
        return count

    def head(self, chunks: Iterable[bytes]) -> Head:
        """Return the names of the columns."""
        del chunks
        return Head(tuple(self._file.schema_arrow.names), Place(0, 1))

    def rows(self, chunks: Iterable[bytes], head: Head, start: Place) -> Iterator[Row | Malformed]:
        """Read rows, starting at a row number; earlier row groups are not read."""
        del chunks
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        ends = list(accumulate(sizes))
        groups = [group for group, end in enumerate(ends) if end >= start.row]
        if not groups:
            return
        number = ends[groups[0]] - sizes[groups[0]] + 1
        for batch in self._file.iter_batches(_BATCH_ROWS, row_groups=groups):
            columns = [list(map(_as_text, column.to_pylist())) for column in batch.columns]
            for value in zip(*columns, strict=True) if head.columns else ():
                if number >= start.row:
                    yield Row(Place(0, number), 0, value)
                number += 1

    def picker(self, head: Head, names: Sequence[str]) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks columns of a row.

        :raises KeyError: the file has no such column
        """
        places = {name: place for place, name in reversed(list(enumerate(head.columns)))}
        wanted = [places[name] for name in names]
        return lambda row: [row.value[place] or None for place in wanted]


def _as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "surrogateescape")
    return str(value)
