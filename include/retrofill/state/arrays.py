"""Arrays as one value: written out as ARRAY[…], the server would parse each element as a term."""

from collections.abc import Iterable

from retrofill.model.calls import Span


def numbers(values: Iterable[int]) -> str:
    """Return numbers as a literal; format: PostgreSQL manual, "Arrays", input and output."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str]) -> str:
    """Return texts as a literal, each of them quoted."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join([f'"{value}"' for value in quoted]) + "}"


def multirange(spans: Iterable[Span]) -> str:
    """Return spans as a literal; format: PostgreSQL manual, "Range Types", input and output."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in spans) + "}"
