"""Keys of items: the names by which you find them, short enough for the state's index."""

from hashlib import blake2b

from retrofill.model.items import LONGEST_KEY_BYTES

_KEPT_BYTES = 900
_DIGEST_BYTES = 16
_NUL_SHOWN = "\N{REPLACEMENT CHARACTER}"


def key_of(name: str, most_bytes: int = LONGEST_KEY_BYTES) -> str:
    """Return a name as a key; a name that is too long is cut and ends in a digest of all of it.

    >>> key_of("in/cat.jpg")
    'in/cat.jpg'

    :param most_bytes: in UTF-8, at least 1,000
    """
    data = name.replace("\0", _NUL_SHOWN).encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return data.decode()
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    return f"{data[:_KEPT_BYTES].decode('utf-8', 'ignore')}…{digest.hexdigest()}"
