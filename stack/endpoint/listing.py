"""The pages of a bucket's listing, in the UTF-8 byte order of the keys.

A position in a bucket is an index, so a page costs the same wherever it begins.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC
from operator import attrgetter
from typing import NamedTuple
from urllib.parse import quote_plus

from stack.endpoint.script import Bucket

_MINUTES = 30 * 24 * 60
_ETAG_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ETAG_MASK = (1 << 128) - 1
_SIZES = 1_000_003
_ETAG = "d41d8cd98f00b204e9800998ecf8427e"


class Listed(NamedTuple):
    """An object, as a listing shows it."""

    key: bytes
    spelled: str
    """The key in the encoding type ``url``."""
    modified: str
    """UTC, to the second, as in S3."""
    size: int
    etag: str = _ETAG
    storage_class: str = "STANDARD"


class Generated:
    """Objects generated from their numbers, so that ten million cost no memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Listed:
        key = f"data/{index:09d}.json"
        hours, minutes = divmod(index % _MINUTES, 60)
        return Listed(
            key.encode(),
            key,
            f"2024-01-{1 + hours // 24:02d}T{hours % 24:02d}:{minutes:02d}:00",
            1 + index * 7_919 % _SIZES,
            f"{(index + 1) * _ETAG_STEP & _ETAG_MASK:032x}",
        )


Objects = list[Listed] | Generated
"""The objects of a bucket, in the order of their keys."""


def objects_of(bucket: Bucket) -> Objects:
    """Return the objects of a bucket."""
    if bucket.generated:
        return Generated(bucket.generated)
    listed = [
        Listed(
            key := one.key.encode(),
            spell(key),
            f"{one.modified_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
            one.size,
            storage_class=one.storage_class,
        )
        for one in bucket.objects
    ]
    return sorted(listed)


def page_of(objects: Objects, prefix: bytes, after: bytes, max_keys: int) -> tuple[range, bool]:
    """Return the indexes of the first objects with a prefix after a key, and whether more follow.

    :param after: the key, which need not exist; empty for the first page
    """
    key = attrgetter("key")
    start = bisect_left(objects, prefix, key=key)
    if after:
        start = max(start, bisect_right(objects, after, key=key))
    # UTF-8 has no byte 0xFF, so this comes after all keys with the prefix.
    end = bisect_left(objects, prefix + b"\xff", key=key)
    stop = min(start + max_keys, end)
    return range(start, stop), max_keys > 0 and stop < end


def spell(key: bytes) -> str:
    """Return a key as in a listing with the encoding type ``url``."""
    return quote_plus(key, safe="/*")


def element(one: Listed) -> str:
    """Return the ``Contents`` element of an object."""
    return (
        f"<Contents><Key>{one.spelled}</Key><LastModified>{one.modified}.000Z</LastModified>"
        f"<ETag>&quot;{one.etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{one.size}</Size>"
        f"<StorageClass>{one.storage_class}</StorageClass></Contents>"
    )
