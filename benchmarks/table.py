"""Tables in Markdown that also read well in a terminal."""

from collections.abc import Iterator, Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; its first column stands left, the others right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    yield _row(heads, widths)
    yield _row(["-" * (width - 1) + "-:"[i > 0] for i, width in enumerate(widths)], widths)
    for row in rows:
        yield _row(row, widths)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    texts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(texts)} |"
