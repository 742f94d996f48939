"""The fields that several events of objects share: keys, and what stands for the unknown."""

from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from retrofill.events.made_up import BASE64, CAPITALS, DIGITS, letters

PRINCIPAL = "AIDARETROFILLREPLAYED"
"""Stands for whoever made the object, which a listing does not tell."""

SOURCE_IP = "127.0.0.1"
"""Stands for the address the object was made from, which a listing does not tell."""

REQUEST_ID = letters("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 16)
"""S3's name for the request that made the object, as in ``x-amz-request-id``."""

HOST_ID = letters(BASE64, 64)
"""Where S3 handled that request, as in ``x-amz-id-2``."""

BUCKET_OWNER = letters(f"{CAPITALS}{DIGITS}", 13, before="A")
"""The customer that owns the bucket."""

MULTIPART_MARK = "-"
"""Stands in the ETag of an object that was uploaded in parts, before the number of parts."""

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~/-"
_SAFE_LINES = _SAFE + b"\n"
_PERCENT, _PLUS = b"%+"
_FEW = 16
"""So many kinds of bytes are faster encoded one after another in all keys than key by key."""

_form_byte = [quote_plus(bytes([byte]), safe="/") for byte in range(256)].__getitem__
_url_byte = [quote(bytes([byte]), safe="/") for byte in range(256)].__getitem__


def form_encoded(key: str) -> str:
    """Return a key as S3 notifications spell it: form-url-encoded, with slashes left as they are.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    data = _utf8(key)
    # Half the time of a regular expression.
    return "".join(map(_form_byte, data)) if data.translate(None, _SAFE) else key


def form_encoded_all(keys: Sequence[str]) -> Sequence[str]:
    """Return many keys as :func:`form_encoded` does, each kind of byte in all of them at once."""
    data = _utf8("\n".join(keys))
    unsafe = set(data.translate(None, _SAFE_LINES))
    if not unsafe and data.count(b"\n") < len(keys):
        return keys
    if data.count(b"\n") >= len(keys) or len(unsafe) > _FEW:
        return list(map(form_encoded, keys))
    # First what is written for others, too.
    for byte in sorted(unsafe, key=lambda one: (one != _PERCENT, one != _PLUS)):
        data = data.replace(bytes([byte]), _form_byte(byte).encode())
    return data.decode().split("\n")


def url_encoded(key: str) -> str:
    """Return a key as S3 Batch Operations spell it; both ``unquote`` and ``unquote_plus`` undo it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
    """
    data = _utf8(key)
    return "".join(map(_url_byte, data)) if data.translate(None, _SAFE) else key


def _utf8(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
