"""What commands print: tables and text to read, JSON for scripts; messages go to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retrofill.model.quoting import visible
from retrofill.model.records import all_as_json

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

Record = TypeVar("Record")

_WIDE = 200
"""Columns of a table if stdout is not a terminal."""


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print plain JSON values.

    :param indent: spaces per level; None: in one line
    """
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def print_text(text: str) -> None:
    """Print text, with all control characters but line breaks escaped."""
    typer.echo(visible(text, but="\n"))


def say(text: str) -> None:
    """Print a message for the user to stderr."""
    typer.echo(visible(text, but="\n"), err=True)


def print_records(
    records: Sequence[Record], cells: Mapping[str, Callable[[Record], object]], *, as_json: bool
) -> None:
    """Print records as JSON or as a table.

    :param cells: for each column of the table, what it shows of a record
    """
    if as_json:
        print_json(all_as_json(records))
    else:
        rows = ([cell(record) for cell in cells.values()] for record in records)
        print_table(tuple(cells), rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns of numbers are right-aligned."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_cell(value) for value in row] for row in rows]
    for at, column in enumerate(columns):
        right = bool(cells) and all(_is_number(row[at].plain) for row in cells)
        made.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in cells:
        made.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _WIDE).print(made)


def moment(when: datetime | None) -> str:
    """Return a time in UTC; None: an empty text."""
    return "" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _cell(value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(moment(value), no_wrap=True)
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}", no_wrap=True)
    return Text(visible(str(value)))


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").isdigit()
