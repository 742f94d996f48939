"""Arrays as literals. As ARRAY[…], the server would parse each element as an expression."""

from collections.abc import Iterable

from retrofill.model.calls import Span


def numbers(values: Iterable[int]) -> str:
    """Return numbers as an array literal (PostgreSQL manual, "Arrays")."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str]) -> str:
    """Return texts as an array literal."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join([f'"{value}"' for value in quoted]) + "}"


def multirange(spans: Iterable[Span]) -> str:
    """Return spans as a multirange literal (PostgreSQL manual, "Range Types")."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in spans) + "}"
