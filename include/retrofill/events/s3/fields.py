"""Fields that several object events share: keys, and stand-ins for what is unknown."""

from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from retrofill.events.fields import utf8
from retrofill.events.synthetic import BASE64, CAPITALS, DIGITS, letters

PRINCIPAL = "AIDARETROFILLREPLAYED"
"""A stand-in for the creator of the object, whom a listing does not show."""

SOURCE_IP = "127.0.0.1"
"""A stand-in for the address from which the object was created, which a listing does not show."""

REQUEST_ID = letters("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 16)
"""S3's id of the request that created the object, as in ``x-amz-request-id``."""

HOST_ID = letters(BASE64, 64)
"""S3's id of the host that handled this request, as in ``x-amz-id-2``."""

BUCKET_OWNER = letters(f"{CAPITALS}{DIGITS}", 13, prefix="A")
"""The customer that owns the bucket."""

MULTIPART_MARK = "-"
"""In the ETag of a multipart upload, it precedes the number of parts."""

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~/-"
_SAFE_LINES = _SAFE + b"\n"
_PERCENT, _PLUS = b"%+"
_FEW = 16
"""Up to this many distinct bytes it is faster to encode each in all keys than key by key."""

_form_byte = [quote_plus(bytes([byte]), safe="/") for byte in range(256)].__getitem__
_url_byte = [quote(bytes([byte]), safe="/") for byte in range(256)].__getitem__


def form_encoded(key: str) -> str:
    """Return a key as in S3 notifications: form-url-encoded, with slashes unchanged.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    data = utf8(key)
    # Half the time of a regular expression.
    return "".join(map(_form_byte, data)) if data.translate(None, _SAFE) else key


def form_encoded_all(keys: Sequence[str]) -> Sequence[str]:
    """Return keys as :func:`form_encoded` does, each distinct byte in all of them at once."""
    data = utf8("\n".join(keys))
    unsafe = set(data.translate(None, _SAFE_LINES))
    if not unsafe and data.count(b"\n") < len(keys):
        return keys
    if data.count(b"\n") >= len(keys) or len(unsafe) > _FEW:
        return list(map(form_encoded, keys))
    # % and + first: later replacements produce them.
    for byte in sorted(unsafe, key=lambda one: (one != _PERCENT, one != _PLUS)):
        data = data.replace(bytes([byte]), _form_byte(byte).encode())
    return data.decode().split("\n")


def url_encoded(key: str) -> str:
    """Return a key as in S3 Batch Operations; both ``unquote`` and ``unquote_plus`` decode it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
    """
    data = utf8(key)
    return "".join(map(_url_byte, data)) if data.translate(None, _SAFE) else key
