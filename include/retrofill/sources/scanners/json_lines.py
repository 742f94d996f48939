"""JSON Lines: one JSON text per line, kept unchanged."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from retrofill.sources.scanners.compression import skip
from retrofill.sources.scanners.encodings import Encoding
from retrofill.sources.scanners.lines import Overlong, read_lines
from retrofill.sources.scanners.scanner import (
    LONGEST_ROW,
    Head,
    Malformed,
    Place,
    Row,
    Scanner,
)

_WHITE = " \t\r\n"


class _Number(str):
    """A number, in the digits of its text."""

    __slots__ = ()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValueError(f"it has the member {twice!r} twice")
    return members


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"it contains {text}, which is not a number in JSON")


_parse = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_Number, parse_int=_Number, parse_constant=_no_number
).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesScanner(Scanner):
    """Reads lines of JSON (RFC 8259), each with members of different names and finite numbers.

    Source: https://jsonlines.org/. Empty lines are skipped.
    """

    encoding: Encoding
    longest_row: int = LONGEST_ROW
    """In bytes."""

    def head(self, chunks: Iterable[bytes]) -> Head:
        """Return the names of the first row's members, if it is an object."""
        head = Head((), Place(len(self.encoding.mark), 1))
        rows = self.rows(skip(chunks, head.first.byte), head, head.first)
        first = next((row for row in rows if isinstance(row, Row)), None)
        members = _parse(str(first.value)) if first is not None else None
        return head._replace(columns=tuple(members)) if isinstance(members, dict) else head

    def rows(self, chunks: Iterable[bytes], head: Head, start: Place) -> Iterator[Row | Malformed]:
        """Read lines; one that is not a JSON text is malformed."""
        del head
        encoding, limit = self.encoding.name, self.longest_row
        end, number = start.byte, start.row
        for line in read_lines(chunks, limit, encoding=encoding):
            begin = end
            if isinstance(line, Overlong):
                end += line.length
                why = f"it has {line.length:,} bytes, more than {limit:,}"
                yield Malformed(Place(begin, number), end, why)
                number += 1
                continue
            end += len(line)
            try:
                text = line.decode(encoding).strip(_WHITE)
                if not text:
                    continue
                _parse(text)
            except UnicodeDecodeError as error:
                why = f"byte {begin + error.start} is not {encoding} ({error.reason})"
            except json.JSONDecodeError as error:
                why = f"it is not JSON: {error.msg} at character {error.pos + 1}"
            except ValueError as error:
                why = str(error)
            except RecursionError:
                why = "it is nested too deeply"
            else:
                yield Row(Place(begin, number), end, text)
                number += 1
                continue
            yield Malformed(Place(begin, number), end, why)
            number += 1

    def content(self, head: Head, row: Row) -> str:
        """Return the line, byte for byte."""
        del head
        return str(row.value)

    def names(self, head: Head, row: Row) -> tuple[str, ...]:
        """Return the names of a line's members; none if it is not an object."""
        del head
        members = _parse(str(row.value))
        return tuple(members) if isinstance(members, dict) else ()

    def picker(self, head: Head, names: Sequence[str]) -> Callable[[Row], Sequence[str | None]]:
        """Return the function that picks members of a line.

        A text is picked as it is, a number in its own digits, a truth value as in JSON. Anything
        else counts as missing.
        """
        del head

        def pick(row: Row) -> Sequence[str | None]:
            members = _parse(str(row.value))
            if not isinstance(members, dict):
                return [None] * len(names)
            return [_as_text(members.get(name)) for name in names]

        return pick


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None
