"""What commands print: tables and texts for people, JSON for scripts; words beside it on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retrofill.model.quoting import visible

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_WIDE = 200
"""Columns where there is no terminal, whose width would be taken."""


def print_json(value: Any) -> None:
    """Print plain JSON values: a list or an object, over several lines."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print plain JSON values in one line, at once: the first of several."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """Print a text of lines, in which nothing acts on the terminal."""
    typer.echo(visible(text, but="\n"))


def say(text: str) -> None:
    """Say something to the person, which is no part of what a command prints."""
    typer.echo(visible(text, but="\n"), err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers stand on the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_cell(value) for value in row] for row in rows]
    for at, column in enumerate(columns):
        right = bool(cells) and all(_is_number(row[at].plain) for row in cells)
        made.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in cells:
        made.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _WIDE).print(made)


def moment(when: datetime | None) -> str:
    """Return a time in UTC for people; empty: there is none."""
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
