"""Lines of a stream of bytes, with their exact bytes, and at most a limited number of each."""

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_BUFFER = 1 << 18


class Overlong(NamedTuple):
    """A line that was longer than the limit, and is not kept."""

    length: int
    """Its length in bytes, including the line end."""

    quotes: int
    """How often the given byte occurs in it."""


class _Stream(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_lines(
    chunks: Iterable[bytes], limit: int, *, encoding: str, quote: bytes = b""
) -> Iterator[bytes | Overlong]:
    """Yield lines with their ends; the last one may have none.

    A line ends with a line feed, whatever precedes it. A carriage return alone ends no line.

    :param limit: bytes; a longer line is skipped and yielded as Overlong
    :param encoding: one of :data:`retrofill.sources.scanners.encodings.ENCODINGS`
    :param quote: a byte to count in an overlong line
    """
    file = io.BufferedReader(_Stream(chunks), _BUFFER)
    if encoding.startswith("utf-16"):
        yield from _wide_lines(file, limit, encoding, quote)
        return
    readline = file.readline
    while line := readline(limit + 1):
        if len(line) > limit:
            length, quotes = len(line), line.count(quote) if quote else 0
            while not line.endswith(b"\n") and (line := readline(_BUFFER)):
                length += len(line)
                quotes += line.count(quote) if quote else 0
            yield Overlong(length, quotes)
        else:
            yield line


def _wide_lines(
    file: "io.BufferedReader[_Stream]", limit: int, encoding: str, quote: bytes
) -> Iterator[bytes | Overlong]:
    """Yield lines of text with two-byte units, one byte of which may look like a line feed."""
    feed, mark = "\n".encode(encoding), quote.decode().encode(encoding)
    line = bytearray()
    length = quotes = 0
    while part := file.readline(_BUFFER):
        if (length + len(line) + len(part)) % 2:
            part += file.read(1)
        line += part
        ends = line.endswith(feed)
        if ends and not length and len(line) <= limit:
            yield bytes(line)
            line.clear()
        elif ends or len(line) > limit:
            quotes += _count(line, mark)
            length += len(line)
            line.clear()
            if ends:
                yield Overlong(length, quotes)
                length = quotes = 0
    if length:
        yield Overlong(length + len(line), quotes + _count(line, mark))
    elif line:
        yield bytes(line)


def _count(line: bytearray, mark: bytes) -> int:
    """Return how often a unit of two bytes occurs in a line."""
    return sum(line[at : at + 2] == mark for at in range(0, len(line), 2)) if mark else 0
