"""Values that many event shapes contain: JSON texts, times, and identifiers of items."""

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii
from sys import byteorder

from retrofill.model.items import IDENTIFIER_BYTES, Item

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_S = 60
_SECONDS_AT = len("2019-09-03T19:37:")
_MOST_MINUTES = 10_000
_TWO = tuple(f"{number:02}" for number in range(60))
_WHOLE = tuple(f"{number:02}.000Z" for number in range(60))

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_JSON_SAFE = bytes(byte for byte in range(32, 127) if byte not in b'"\\')
json_string: Callable[[str], str] = encode_basestring_ascii
"""Return a text as a JSON string, quoted, in ASCII."""


def json_inside(text: str) -> str:
    """Return a text as the inside of a JSON string, in ASCII."""
    return json_string(text)[1:-1]


def ascii_json(text: str) -> str:
    """Return a JSON text with non-ASCII characters escaped; its value stays the same."""
    return text if text.isascii() else _NOT_ASCII.sub(lambda one: json_inside(one[0]), text)


def json_insides(texts: Sequence[str]) -> Sequence[str]:
    """Return texts, each as :func:`json_inside` does."""
    if utf8("".join(texts)).translate(None, _JSON_SAFE):
        return list(map(json_inside, texts))
    return texts


def utf8(key: str) -> bytes:
    """Return a key's bytes; surrogates, which UTF-8 cannot encode, pass."""
    return key.encode("utf-8", "surrogatepass")


class _Minutes(dict[int, str]):
    """The starts of minutes since 1970, as ``2019-09-03T19:37:``; a cache of recent ones."""

    def __missing__(self, minute: int) -> str:
        if len(self) >= _MOST_MINUTES:
            self.clear()
        self[minute] = text = (_EPOCH + timedelta(minutes=minute)).isoformat()[:_SECONDS_AT]
        return text


_minutes = _Minutes()


def digits_of_each(
    data: bytes, size: int, *, upper: bool = False, prefix: str = "", suffix: str = ""
) -> list[str]:
    """Return the hexadecimal digits of each ``size`` bytes, with a prefix and a suffix."""
    digits = data.hex(" ", size)
    digits = digits.upper() if upper else digits
    if data and (prefix or suffix):
        digits = f"{prefix}{digits.replace(' ', f'{suffix} {prefix}')}{suffix}"
    return digits.split()


def all_to_milliseconds(timestamps: Sequence[str]) -> list[str]:
    """Return times in UTC, as ``2019-09-03T19:37:27.192Z``; see :func:`times_of`."""
    return times_of(timestamps)[0]


def times_of(timestamps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return times as :func:`all_to_milliseconds` does, and as sequencers.

    Sequencers order the events of one key: 18 hexadecimal digits, of which later ones compare
    greater as text. As in live events, the first ten are the seconds since 1970. The other eight
    are the microseconds; live events have other digits there.

    :param timestamps: seconds since 1970 in decimal digits, with or without a fraction
    """
    if "." in "".join(timestamps):
        return _fine_times(timestamps)
    seconds = list(map(int, timestamps))
    minutes, whole = _minutes, _WHOLE
    texts = [minutes[one // _MINUTE_S] + whole[one % _MINUTE_S] for one in seconds]
    try:
        # 32-bit numbers, so that all their digits are written at once.
        places = array("I", seconds)
    except OverflowError:  # from 2106 on
        return _fine_times(timestamps)
    if byteorder == "little":
        places.byteswap()
    return texts, digits_of_each(
        places.tobytes(), places.itemsize, upper=True, prefix="00", suffix="00000000"
    )


def _fine_times(timestamps: Sequence[str]) -> tuple[list[str], list[str]]:
    parted = [(one, one.partition(".")[0]) for one in timestamps]
    return (
        [f"{to_second(one)}.{_fraction(one, 3)}Z" for one in timestamps],
        [f"{int(whole):010X}{int(_fraction(one, 6)):08X}" for one, whole in parted],
    )


def to_second(timestamp: str) -> str:
    """Return a time in UTC, to the second: ``2021-11-12T00:00:00``."""
    minute, second = divmod(int(timestamp.partition(".")[0]), _MINUTE_S)
    return f"{_minutes[minute]}{_TWO[second]}"


def epoch_milliseconds(timestamp: str) -> str:
    """Return a time in milliseconds since 1970."""
    # As a number: within the first second of 1970 it would begin with zeros.
    return str(int(f"{timestamp.partition('.')[0]}{_fraction(timestamp, 3)}"))


def _fraction(timestamp: str, digits: int) -> str:
    """Return the first digits of a timestamp's fraction of a second."""
    return timestamp.partition(".")[2].ljust(digits, "0")[:digits]


def uuid_texts(identifiers: bytes) -> list[str]:
    """Return concatenated identifiers in the form of UUIDs, as in the state's tables."""
    return [
        f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        for digits in digits_of_each(identifiers, IDENTIFIER_BYTES)
    ]


def uuid_of(item: Item) -> str:
    """Return the identifier of an item in the form of a UUID.

    >>> uuid_of(Item(bytes(range(16)), "key"))
    '00010203-0405-0607-0809-0a0b0c0d0e0f'
    """
    return uuid_texts(item.identifier)[0]
