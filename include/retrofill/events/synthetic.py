"""Synthetic ids: live events have them, and no source does. They are hashes, spelled as live ids.

Each is the item's identifier, itself a hash, masked by the hash of an owner and a name, and spelled
in the alphabet of live ids. The owner is usually the job: an item keeps its id in all of the job's
runs, retries and redrives. Another owner or name gives another id.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from retrofill.events.fields import digits_of_each
from retrofill.model.items import IDENTIFIER_BYTES, Item

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BASE64 = f"{CAPITALS}{CAPITALS.lower()}{DIGITS}+/"

Ids = Callable[[bytes], list[str]]
"""Returns the ids of items, given their concatenated identifiers."""


class Form(NamedTuple):
    """How live ids of one type are spelled."""

    size: int
    """The bytes behind one id: a multiple of IDENTIFIER_BYTES."""

    spell: Callable[[bytes], list[str]]
    """Returns an id for each ``size`` bytes."""


def letters(alphabet: str, length: int, *, prefix: str = "", suffix: str = "") -> Form:
    """Return the form of ids with this many letters of an alphabet, a prefix and a suffix."""
    size = -(-length // IDENTIFIER_BYTES) * IDENTIFIER_BYTES
    table = "".join(alphabet[byte % len(alphabet)] for byte in range(256)).encode()

    def spell(data: bytes) -> list[str]:
        text = data.translate(table).decode()
        return [f"{prefix}{text[at : at + length]}{suffix}" for at in range(0, len(text), size)]

    return Form(size, spell)


def _uuids(data: bytes) -> list[str]:
    return [
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        for digits in digits_of_each(data, IDENTIFIER_BYTES)
    ]


UUID = Form(IDENTIFIER_BYTES, _uuids)
"""A UUID of version 4 (RFC 9562)."""


def ids(form: Form, name: str, owner: str) -> Ids:
    """Return the function that makes the ids of items.

    :param name: the field; fields of the same name have the same ids
    :param owner: items keep their ids for as long as this stays the same
    """
    mask = hashlib.shake_128(f"{name}\0{owner}".encode()).digest(form.size)
    times = form.size // IDENTIFIER_BYTES

    def of(identifiers: bytes) -> list[str]:
        repeated = _repeat_each(identifiers, times)
        masks = mask * (len(repeated) // form.size)
        masked = int.from_bytes(repeated) ^ int.from_bytes(masks)
        return form.spell(masked.to_bytes(len(repeated)))

    return of


def _repeat_each(identifiers: bytes, times: int) -> bytes:
    """Return each identifier this many times in a row."""
    if times == 1 or len(identifiers) <= IDENTIFIER_BYTES:
        return identifiers * times
    # Word by word: to cut out each identifier would take ten times as long.
    source = memoryview(identifiers).cast("Q")
    repeated = memoryview(bytearray(times * len(identifiers))).cast("Q")
    words = IDENTIFIER_BYTES // source.itemsize
    for place in range(words * times):
        repeated[place :: words * times] = source[place % words :: words]
    return repeated.tobytes()


def one_id(form: Form, name: str, owner: str) -> str:
    """Return the id that all items of an owner share; see :func:`ids`."""
    return ids(form, name, owner)(bytes(IDENTIFIER_BYTES))[0]


def of_item(made: Ids) -> Callable[[Item], str]:
    """Return the function that makes the id of one item."""
    return lambda item: made(item.identifier)[0]
