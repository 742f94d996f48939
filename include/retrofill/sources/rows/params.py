"""The params of rows in files: the files, how to read them, and which rows are an item."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator

from retrofill.params import Problem, Sound, field, refuse
from retrofill.params.texts import BLANK, Text, at_most_key_bytes, one_of
from retrofill.sources.files import parse_location
from retrofill.sources.kind import SOURCE, SourceParams
from retrofill.sources.s3.params import REQUESTER_PAYS
from retrofill.sources.scanners.encodings import AUTO, ENCODINGS


def _location(text: str) -> str:
    try:
        parse_location(text)
    except ValueError as error:
        refuse(str(error))
    return at_most_key_bytes(text)


def _names(text: str) -> str:
    names = names_in(text)
    if not all(names):
        refuse("one of its names is empty")
    if len(set(names)) < len(names):
        refuse("one of its names occurs twice")
    return text


def names_in(text: str | None) -> tuple[str, ...]:
    """Return the names of columns in a param."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


Names = Annotated[Text, AfterValidator(_names)]
Encoding = Annotated[Text, AfterValidator(partial(one_of, (AUTO, *ENCODINGS)))]
FilesAddress = Annotated[Text, AfterValidator(_location)]

FORMAT = field(
    SOURCE,
    "Format",
    "**csv** or **jsonl** (JSON Lines), plain or gzip. **auto**: by the end of the file name,"
    " otherwise by the first character.",
    default="auto",
)
ENCODED = field(
    SOURCE,
    "Encoding",
    "The text encoding. **auto**: UTF-8, or as a byte order mark shows.",
    allowed=f"one of {', '.join((AUTO, *ENCODINGS))}",
    default=AUTO,
    examples=[AUTO, "cp1252"],
)
ON_MALFORMED = field(
    SOURCE,
    "Malformed rows",
    "What to do with an unreadable row: **stop** ends the run and names file, byte and row;"
    " **leave out** counts and logs it, unless none of a file's first 1,000 rows can be used.",
    default="stop",
)


class RowParams(SourceParams):
    """The files, and how their rows become items."""

    files: FilesAddress = field(
        SOURCE,
        "Files",
        "Where the files are: **s3://bucket/key** or an absolute path. Ends with a slash: all"
        " files below. With *, ? or [ab]: all that match; * includes slashes.",
        allowed="s3://bucket/key or an absolute path, with or without a pattern",
        form={"maxLength": 1_024},
        examples=["s3://my-data/orders/*.csv.gz"],
    )
    format: Literal["auto", "csv", "jsonl"] = FORMAT
    encoding: Encoding = ENCODED
    delimiter: Literal["auto", "comma", "semicolon", "tab", "vertical bar"] = field(
        SOURCE,
        "Delimiter",
        "The separator between CSV fields. **auto**: the one that splits the first row into most"
        " fields.",
        default="auto",
    )
    columns: Annotated[Names | None, BLANK] = field(
        SOURCE,
        "Columns",
        "The column names of CSV files without a header, separated by commas. Empty: the first row"
        " of each file has them.",
        allowed="different names, separated by commas",
        form={"maxLength": 1_024},
        default=None,
        examples=["id,name,city"],
    )
    rows_per_item: int = field(
        SOURCE,
        "Rows per item",
        "How many rows of a file make one item, a JSON array. 1: each row is an item.",
        default=1,
        ge=1,
        le=10_000,
        examples=[1, 100],
    )
    key_columns: Annotated[Names | None, BLANK] = field(
        SOURCE,
        "Key columns",
        "Columns that identify a row, separated by commas. Rows with the same values are one item,"
        " in any file and run. Empty: each row is its own item until its file changes; a changed"
        " file is read as new.",
        allowed="different names, separated by commas",
        form={"maxLength": 1_024},
        default=None,
        examples=["order_id", "customer,day"],
    )
    requester_pays: bool = REQUESTER_PAYS
    on_malformed: Literal["stop", "leave out"] = ON_MALFORMED

    def label(self) -> str:
        """Return where the files are."""
        return self.files

    def origin(self) -> str:
        """Return the place of the files, and how rows become items."""
        home = parse_location(self.files).home or "file://"
        keys = f" by {','.join(names_in(self.key_columns))}" if self.key_columns else ""
        many = f" in groups of {self.rows_per_item}" if self.rows_per_item > 1 else ""
        return f"rows of {home}{keys}{many}"

    def datasets(self) -> list[tuple[str, str]]:
        """Return where the files are."""
        return [parse_location(self.files).dataset]

    def place(self) -> Mapping[str, str]:
        """Return where the files are."""
        return {"files": self.files}

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find two params that contradict each other."""
        if sound("rows_per_item", "key_columns") and self.rows_per_item > 1 and self.key_columns:
            yield Problem(
                "rows_per_item",
                f"{self.rows_per_item} is not allowed with key_columns, which identify single rows",
            )
        if sound("columns", "format") and self.columns and self.format == "jsonl":
            yield Problem("columns", "not allowed with jsonl, where each row names its own")
