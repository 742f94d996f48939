"""Rows in CSV and JSON Lines files, on S3 or on a disk."""

from retrofill.events.form import ROW
from retrofill.model.permission import Permission
from retrofill.sources.files import open_files, parse_location
from retrofill.sources.kind import Opening, SourceKind, content_measure
from retrofill.sources.rows.params import RowParams, names_in
from retrofill.sources.rows.source import Identity, RowSource
from retrofill.sources.scanners.csv_rows import DELIMITERS
from retrofill.sources.scanners.encodings import AUTO
from retrofill.sources.scanners.recognize import Asked


def _open(params: RowParams, opening: Opening) -> RowSource:
    return RowSource(
        open_files(parse_location(params.files), opening, requester_pays=params.requester_pays),
        Asked(
            format=params.format,
            encoding=params.encoding,
            delimiter=DELIMITERS.get(params.delimiter, AUTO),
            columns=names_in(params.columns) or None,
        ),
        identity=Identity(names_in(params.key_columns), params.rows_per_item),
        stop=params.on_malformed == "stop",
    )


_FILES = "arn:aws:s3:::my-data"

KIND = SourceKind(
    name="rows",
    title="rows in CSV or JSON Lines files",
    about="""Run a function over the rows of files.

Each row, or each group of rows, becomes an item. The files are CSV or JSON Lines, plain or
compressed, on S3 or on a disk. Retrofill remembers processed rows, by position or by columns.""",
    params=RowParams,
    open=_open,
    form=ROW,
    measure=content_measure,
    permissions=(
        Permission("s3:GetObject", f"{_FILES}/*", "for files on S3"),
        Permission("s3:ListBucket", _FILES, "for a pattern, or all files of a folder, on S3"),
    ),
    left_out={"malformed": "rows that cannot be read"},
)
