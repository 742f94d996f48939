"""A part of a report in Parquet."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from retrofill.export.parts import Digested, Table, details_of
from retrofill.model.report_files import ReportedItem

_TYPES = {
    "Attempts": pa.int32(),
    "Unsure": pa.bool_(),
    "RunId": pa.int64(),
    "SettledAt": pa.timestamp("us", tz="UTC"),
}
"""The types of the columns that are not text."""


class ParquetPart:
    """A Parquet part, with a row group for each chunk of items."""

    def __init__(self, file: Digested, table: Table) -> None:
        self._row = table.form.row(table.place)
        self._details = table.details
        self._schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in table.columns])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, items: Sequence[ReportedItem]) -> None:
        """Write items."""
        rows: list[Sequence[Any]] = list(map(self._row, items))
        if self._details:
            rows = [(*cells, *details_of(item)) for cells, item in zip(rows, items, strict=True)]
        columns = [
            pa.array(column, type=field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def end(self) -> None:
        """Write the file's footer."""
        self._writer.close()
