"""Tables in Markdown that also read well in a terminal."""

from collections.abc import Iterator, Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; its first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rules = ["-" * (width - 1) + "-:"[i > 0] for i, width in enumerate(widths)]
    for first, *others in (heads, rules, *rows):
        padded = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield row([first.ljust(widths[0]), *padded])


def row(cells: Sequence[str]) -> str:
    """Return the line of some cells."""
    return f"| {' | '.join(cells)} |"
