"""The identifier of an item and the fingerprint of a job, which separate new items from known."""

import hashlib
import struct
from collections.abc import Callable

from retrofill.model.items import IDENTIFIER_BYTES

IDENTITY_VERSION = 1
"""Part of every job's fingerprint, so that identifiers of different versions never mix."""

_length = struct.Struct(">I").pack


def identifier_of(source: str) -> Callable[[str, str], bytes]:
    """Return the function that makes identifiers for the items of one source.

    The function takes an item's key and version and returns 16 bytes: BLAKE2b (RFC 7693) of the
    three fields, each preceded by its length, so that different fields never make the same message.

    >>> identifier_of("numbers://")("7", "v1").hex()
    '9ba0c2711f6507572b2a26adf4ea1458'

    :param source: the common name of the source's items (``memory://items``)
    """
    name = source.encode()
    seeded = hashlib.blake2b(_length(len(name)) + name, digest_size=IDENTIFIER_BYTES)
    copy = seeded.copy

    def identifier(key: str, version: str) -> bytes:
        digest = copy()
        field = key.encode("utf-8", "surrogatepass")
        digest.update(_length(len(field)) + field + version.encode())
        return digest.digest()

    return identifier


def fingerprint(**fields: str) -> str:
    """Return the hex fingerprint of a job, from the fields that define it."""
    digest = hashlib.blake2b(digest_size=IDENTIFIER_BYTES)
    for name, value in sorted({**fields, "identity": str(IDENTITY_VERSION)}.items()):
        for field in (name.encode(), value.encode()):
            digest.update(_length(len(field)) + field)
    return digest.hexdigest()
