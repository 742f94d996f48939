"""The pages of a bucket's listing: which keys, in UTF-8 byte order, and where the next one starts.

Rules: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. A position inside a
bucket is an index, so a page costs the same wherever it stands.
"""

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from stack.endpoint.buckets import Bucket, GeneratedObjects, S3Object

MAX_KEYS = 1_000
"""The most entries of a page."""

_FIRST_MODIFIED = datetime(2024, 1, 1, tzinfo=UTC)
_MINUTES = 30 * 24 * 60
_ETAG_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ETAG_MASK = (1 << 128) - 1
_SIZES = 1_000_003
_CONTENTS = (
    "<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>&quot;{etag}&quot;"
    "</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT"
    "</ChecksumType><Size>{size}</Size><StorageClass>{storage_class}</StorageClass></Contents>"
)


class InvalidTokenError(ValueError):
    """A continuation token that no page gave."""


class Objects(Protocol):
    """The objects of a bucket, in the order of their keys."""

    def __len__(self) -> int:
        """Return how many there are."""

    def index_from(self, key: bytes) -> int:
        """Return the number of objects with lesser keys."""

    def index_after(self, key: bytes) -> int:
        """Return the number of objects with lesser keys or this one."""

    def key(self, index: int) -> bytes:
        """Return the key of an object."""

    def elements(self, indexes: Sequence[int], *, encoded: bool) -> list[str]:
        """Return the ``Contents`` elements of objects."""


class Page(NamedTuple):
    """One page."""

    indexes: Sequence[int]
    """The objects on it."""

    common_prefixes: list[bytes]
    """What stands for the objects that the delimiter rolls up."""

    next_token: str
    """What the next page is asked for with; empty on the last page."""

    last_entry: bytes
    """The last key or common prefix on it."""


class ListedObjects:
    """Objects that a script names one by one."""

    def __init__(self, objects: Sequence[S3Object]) -> None:
        self._objects = sorted(objects, key=lambda one: one.key.encode())
        self._keys = [one.key.encode() for one in self._objects]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    def index_from(self, key: bytes) -> int:
        """Return the number of objects with lesser keys."""
        return bisect_left(self._keys, key)

    def index_after(self, key: bytes) -> int:
        """Return the number of objects with lesser keys or this one."""
        return bisect_right(self._keys, key)

    def key(self, index: int) -> bytes:
        """Return the key of an object."""
        return self._keys[index]

    def elements(self, indexes: Sequence[int], *, encoded: bool) -> list[str]:
        """Return the ``Contents`` elements of objects."""
        return [
            _CONTENTS.format(
                key=spell(one.key, encoded=encoded),
                modified=_spell_time(one.modified_at),
                etag=escape(one.etag),
                size=one.size,
                storage_class=escape(one.storage_class),
            )
            for one in (self._objects[index] for index in indexes)
        ]


class MadeUpObjects:
    """Objects made up from their numbers, so that ten million cost no memory."""

    _times: tuple[str, ...] = ()

    def __init__(self, objects: GeneratedObjects) -> None:
        self._count = objects.count
        self._range = range(objects.count)
        self._pattern = objects.pattern
        self._folder_size = objects.folder_size
        if not MadeUpObjects._times:
            MadeUpObjects._times = tuple(map(_spell_minute, range(_MINUTES)))

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def index_from(self, key: bytes) -> int:
        """Return the number of objects with lesser keys."""
        return bisect_left(self._range, key, key=self.key)

    def index_after(self, key: bytes) -> int:
        """Return the number of objects with lesser keys or this one."""
        return bisect_right(self._range, key, key=self.key)

    def key(self, index: int) -> bytes:
        """Return the key of an object."""
        return self._spell(index).encode()

    def elements(self, indexes: Sequence[int], *, encoded: bool) -> list[str]:
        """Return the ``Contents`` elements of objects."""
        keys = [self._spell(i) for i in indexes]
        # The numbers in a key need no encoding, so one key shows whether the pattern does.
        if keys and spell(keys[0], encoded=encoded) != keys[0]:
            keys = [spell(key, encoded=encoded) for key in keys]
        times = self._times
        return [
            f"<Contents><Key>{key}</Key><LastModified>{times[i % _MINUTES]}</LastModified>"
            f"<ETag>&quot;{_etag(i)}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
            f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{_size(i)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for i, key in zip(indexes, keys, strict=True)
        ]

    def _spell(self, index: int) -> str:
        return self._pattern.format(i=index, folder=index // self._folder_size)


def objects_of(bucket: Bucket) -> Objects:
    """Return the objects of a bucket."""
    if bucket.generated is not None:
        return MadeUpObjects(bucket.generated)
    return ListedObjects(bucket.objects)


def generated_object(objects: GeneratedObjects, i: int) -> S3Object:
    """Return the object number ``i`` as a listing shows it."""
    return S3Object(
        key=objects.key(i), size=_size(i), etag=_etag(i), modified_at=_modified_at(i % _MINUTES)
    )


def page_of(
    objects: Objects, prefix: bytes, delimiter: bytes, start: int, max_keys: int = MAX_KEYS
) -> Page:
    """Return the page that starts at an index."""
    start = max(start, objects.index_from(prefix))
    end = objects.index_from(_after_all_of(prefix)) if prefix else len(objects)
    if not delimiter:
        indexes = range(start, max(start, min(start + max_keys, end)))
        if not indexes:
            return Page(indexes, [], "", b"")
        last = objects.key(indexes[-1])
        return Page(indexes, [], _token(b"k", last) if indexes.stop < end else "", last)
    keys: list[int] = []
    common: list[bytes] = []
    kind, last, after = b"k", b"", start
    for rolled, entry, following in _entries(objects, prefix, delimiter, start, end):
        if len(keys) + len(common) == max_keys:
            return Page(keys, common, _token(kind, last) if last else "", last)
        if rolled:
            common.append(entry)
        else:
            keys.append(after)
        kind, last, after = b"p" if rolled else b"k", entry, following
    return Page(keys, common, "", last)


def index_of_token(objects: Objects, token: str) -> int:
    """Return the index at which the page of a continuation token starts.

    :raises InvalidTokenError: if no page gave it
    """
    try:
        text = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidTokenError(token) from error
    if text[:1] == b"k":
        return objects.index_after(text[1:])
    if text[:1] == b"p":
        return objects.index_from(_after_all_of(text[1:]))
    raise InvalidTokenError(token)


def index_after_key(objects: Objects, prefix: bytes, delimiter: bytes, key: bytes) -> int:
    """Return the index at which a listing starts after a key or a common prefix."""
    rest = key[len(prefix) :] if key.startswith(prefix) else b""
    if delimiter and rest.find(delimiter) == len(rest) - len(delimiter) >= 0:
        return objects.index_from(_after_all_of(key))
    return objects.index_after(key)


def spell(text: str, *, encoded: bool) -> str:
    """Return a key as a listing writes it: for XML, URL-encoded first if so asked."""
    if encoded:
        return quote_plus(text, safe="/*")
    escaped = escape(text)
    return "".join(
        f"&#x{ord(letter):x};" if letter < " " and letter not in "\t\n" else letter
        for letter in escaped
    )


def _entries(
    objects: Objects, prefix: bytes, delimiter: bytes, start: int, end: int
) -> Iterator[tuple[bool, bytes, int]]:
    """Yield keys and common prefixes: whether it is one of these, itself, the next index."""
    at = start
    while at < end:
        key = objects.key(at)
        cut = key.find(delimiter, len(prefix))
        if cut < 0:
            at += 1
            yield False, key, at
        else:
            common = key[: cut + len(delimiter)]
            at = objects.index_from(_after_all_of(common))
            yield True, common, at


def _after_all_of(prefix: bytes) -> bytes:
    """Return what sorts after all keys that start with a prefix: UTF-8 has no byte 0xFF."""
    return prefix + b"\xff"


def _token(kind: bytes, entry: bytes) -> str:
    return base64.urlsafe_b64encode(kind + entry).decode()


def _etag(i: int) -> str:
    return f"{(i + 1) * _ETAG_STEP & _ETAG_MASK:032x}"


def _size(i: int) -> int:
    return 1 + i * 7_919 % _SIZES


def _modified_at(minute: int) -> datetime:
    return _FIRST_MODIFIED + timedelta(minutes=minute)


def _spell_minute(minute: int) -> str:
    """Return the spelling of a minute of January 2024, ten times as fast as through a datetime."""
    hours, minutes = divmod(minute, 60)
    return f"2024-01-{1 + hours // 24:02d}T{hours % 24:02d}:{minutes:02d}:00.000Z"


def _spell_time(time: datetime) -> str:
    # S3 has whole seconds.
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
