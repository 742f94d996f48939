"""Decompress a stream of bytes: gzip, or nothing."""

import zlib
from collections.abc import Iterable, Iterator

GZIP_MAGIC = b"\x1f\x8b"
"""The first bytes of a gzip file (RFC 1952)."""

_GZIP_WINDOW = 31
_LONGEST_CHUNK = 1 << 18


class CorruptFile(ValueError):
    """A compressed file ends too soon, or is not in the format that it claims."""


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of a gzip file, all its members, in pieces of at most 256 KiB.

    Source: https://www.rfc-editor.org/rfc/rfc1952, 2.2: a file is a series of members.

    :raises CorruptFile: the file is damaged, or ends within a member
    """
    member = None
    for chunk in chunks:
        left = chunk if member else chunk.lstrip(b"\0")
        while left:
            member = member or zlib.decompressobj(_GZIP_WINDOW)
            yield from _pieces(member, left)
            left = b""
            if member.eof:
                left = member.unused_data.lstrip(b"\0")  # padding after a member
                member = None
    if member is not None:
        raise CorruptFile("its gzip data end in the middle; it is cut off")


def _pieces(member: "zlib._Decompress", stored: bytes) -> Iterator[bytes]:
    """Yield the content of stored bytes, up to the member's end."""
    try:
        while True:
            piece = member.decompress(stored, _LONGEST_CHUNK)
            if piece:
                yield piece
            stored = member.unconsumed_tail
            # After a full piece, more may be left in the member itself.
            if member.eof or not (stored or len(piece) == _LONGEST_CHUNK):
                return
    except zlib.error as error:
        raise CorruptFile(f"its gzip data are damaged ({error})") from error


def skip(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield a stream without its first bytes."""
    for chunk in chunks:
        if count >= len(chunk):
            count -= len(chunk)
        else:
            yield chunk[count:]
            count = 0
