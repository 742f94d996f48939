"""The pages of a bucket's listing, in the UTF-8 byte order of the keys.

A position in a bucket is an index, so a page costs the same wherever it begins.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC
from typing import Protocol
from urllib.parse import quote_plus

from stack.endpoint.buckets import Bucket, S3Object

_MINUTES = 30 * 24 * 60
_ETAG_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ETAG_MASK = (1 << 128) - 1
_SIZES = 1_000_003
_ETAG = "d41d8cd98f00b204e9800998ecf8427e"


class Objects(Protocol):
    """The objects of a bucket, in the order of their keys."""

    def __len__(self) -> int:
        """Return their number."""

    def key(self, index: int) -> bytes:
        """Return the key of an object."""

    def element(self, index: int) -> str:
        """Return the ``Contents`` element of an object."""


class ListedObjects:
    """Objects that a script lists one by one."""

    def __init__(self, objects: Sequence[S3Object]) -> None:
        self._objects = sorted(objects, key=lambda one: one.key.encode())

    def __len__(self) -> int:
        """Return their number."""
        return len(self._objects)

    def key(self, index: int) -> bytes:
        """Return the key of an object."""
        return self._objects[index].key.encode()

    def element(self, index: int) -> str:
        """Return the ``Contents`` element of an object."""
        one = self._objects[index]
        # S3 has whole seconds.
        modified = one.modified_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return _element(spell(one.key.encode()), modified, _ETAG, one.size, one.storage_class)


class GeneratedObjects:
    """Objects generated from their numbers, so that ten million cost no memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        """Return their number."""
        return self._count

    def key(self, index: int) -> bytes:
        """Return the key of an object."""
        return b"data/%09d.json" % index

    def element(self, index: int) -> str:
        """Return the ``Contents`` element of an object."""
        hours, minutes = divmod(index % _MINUTES, 60)
        return _element(
            f"data/{index:09d}.json",
            f"2024-01-{1 + hours // 24:02d}T{hours % 24:02d}:{minutes:02d}:00",
            f"{(index + 1) * _ETAG_STEP & _ETAG_MASK:032x}",
            1 + index * 7_919 % _SIZES,
            "STANDARD",
        )


def objects_of(bucket: Bucket) -> Objects:
    """Return the objects of a bucket."""
    return GeneratedObjects(bucket.generated) if bucket.generated else ListedObjects(bucket.objects)


def page_of(objects: Objects, prefix: bytes, after: bytes, max_keys: int) -> tuple[range, bool]:
    """Return the indexes of the first objects with a prefix after a key, and whether more follow.

    :param after: the key, which need not exist; empty for the first page
    """
    indexes = range(len(objects))
    start = bisect_left(indexes, prefix, key=objects.key)
    if after:
        start = max(start, bisect_right(indexes, after, key=objects.key))
    # UTF-8 has no byte 0xFF: this is after all keys with the prefix.
    end = bisect_left(indexes, prefix + b"\xff", key=objects.key)
    stop = min(start + max_keys, end)
    return range(start, stop), max_keys > 0 and stop < end


def spell(key: bytes) -> str:
    """Return a key as in a listing with the encoding type ``url``."""
    return quote_plus(key, safe="/*")


def _element(key: str, modified: str, etag: str, size: int, storage_class: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{modified}.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>"
        f"<StorageClass>{storage_class}</StorageClass></Contents>"
    )
