"""The fields that several event shapes share: text, keys, times and the ids that lead back.

Whatever a lister cannot know is made up, the same for the same item and run: the ids hold the
item's identifier, and one of them also the job and the run, so that a line the function logged
leads back to the item.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from urllib.parse import quote, quote_plus

from include.retrofill.model.items import Item
from include.retrofill.rules.events.context import EventContext

HOLE = "\0"
"""Marks in a template where an item's value goes; JSON text itself never holds this character.

A template is split there once, and its pieces are joined around the values of each item: several
times as fast as a dictionary and ``json.dumps``.
"""

SEPARATOR = ","
"""Stands between each two records of a payload."""

PRINCIPAL = "AIDARETROFILLREPLAYED"
"""Stands for whoever made the object, which a listing does not tell."""

SOURCE_IP = "127.0.0.1"
"""Stands for the address the object was made from, which a listing does not tell."""

MULTIPART_MARK = "-"
"""Stands in the ETag of an object that was uploaded in parts, before the number of parts."""

_place = struct.Struct(">QI").pack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_WHOLE = len("2019-09-03T19:37:27")
_DAY_S = 86_400
_MINUTES = tuple(f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(_DAY_S // 60))
_TWO = tuple(f"{number:02}" for number in range(60))
_THREE = tuple(f"{number:03}" for number in range(1_000))

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~/-"
_SAFE_LINES = _SAFE + b"\n"
_PERCENT, _PLUS = b"%+"
_FEW = 16
"""So many kinds of bytes are faster encoded one after another in all keys than key by key."""

_JSON_SAFE = bytes(byte for byte in range(32, 127) if byte not in b'"\\')
_form_byte = [quote_plus(bytes([byte]), safe="/") for byte in range(256)].__getitem__
_url_byte = [quote(bytes([byte]), safe="/") for byte in range(256)].__getitem__

json_string: Callable[[str], str] = encode_basestring_ascii
"""Return a text as a JSON string, quoted, in ASCII."""


def json_inside(text: str) -> str:
    """Return a text as the inside of a JSON string, in ASCII."""
    return json_string(text)[1:-1]


def bucket_arn(context: EventContext) -> str:
    """Return the ARN of the bucket, in the partition of the function."""
    return f"arn:{context.function_arn.split(':')[1]}:s3:::{context.bucket}"


def filled(template: str) -> Callable[..., list[str]]:
    """Return the function that fills a template for many items, given a column for each hole.

    It returns the parts: pieces and values in turns, as many for each item. Joined they are the
    items' records, each with a SEPARATOR behind it, without having been put together one by one.
    """
    first, *others = f"{template}{SEPARATOR}".split(HOLE)
    row = [first]
    for piece in others:
        row += ("", piece)

    def fill(*columns: Sequence[str]) -> list[str]:
        parts = row * len(columns[0])
        for hole, column in enumerate(columns):
            parts[2 * hole + 1 :: len(row)] = column
        return parts

    return fill


def records_of(parts: Sequence[str], items: int) -> list[str]:
    """Put the parts of so many items together to their records."""
    step = len(parts) // items if items else 1
    return [
        "".join(parts[at : at + step]).removesuffix(SEPARATOR) for at in range(0, len(parts), step)
    ]


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


def json_insides(texts: Sequence[str]) -> Sequence[str]:
    """Return many texts as :func:`json_inside` does."""
    if _utf8("".join(texts)).translate(None, _JSON_SAFE):
        return list(map(json_inside, texts))
    return texts


def url_encoded(key: str) -> str:
    """Return a key as S3 Batch Operations spell it; both ``unquote`` and ``unquote_plus`` undo it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
    """
    data = _utf8(key)
    return "".join(map(_url_byte, data)) if data.translate(None, _SAFE) else key


def _utf8(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4_096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def stamps(moment: datetime) -> tuple[str, str]:
    """Return the texts of :func:`to_milliseconds` and :func:`sequencer`, which share their sums."""
    since = moment - _EPOCH
    days, seconds, microseconds = since.days, since.seconds, since.microseconds
    minute, second = divmod(seconds, 60)
    # A quarter of the time of isoformat, which asks the time zone, and of a format with X.
    return (
        f"{_day(days)}{_MINUTES[minute]}{_TWO[second]}.{_THREE[microseconds // 1_000]}Z",
        _place(days * _DAY_S + seconds, microseconds).hex()[6:].upper(),
    )


def all_stamps(moments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the texts of :func:`stamps` for many moments.

    :param moments: in UTC; ISO 8601 without an offset, seconds with or without a fraction
    """
    times = [
        f"{moment}.000Z" if len(moment) == _WHOLE else f"{moment[:_WHOLE]}.{moment[20:]:0<3.3}Z"
        for moment in moments
    ]
    since = [moment - _NAIVE_EPOCH for moment in map(datetime.fromisoformat, moments)]
    places = b"".join(
        [((one.days * _DAY_S + one.seconds << 32) + one.microseconds).to_bytes(9) for one in since]
    )
    return times, digits_of_each(places, 9, upper=True)


def digits_of_each(data: bytes, size: int, *, upper: bool = False) -> list[str]:
    """Return the hexadecimal digits of each ``size`` bytes."""
    digits = data.hex(" ", size)
    return (digits.upper() if upper else digits).split()


def to_milliseconds(moment: datetime) -> str:
    """Return a moment as S3 and SNS write it, in UTC: ``2019-09-03T19:37:27.192Z``."""
    return stamps(moment)[0]


def to_seconds(moment: datetime) -> str:
    """Return a moment as EventBridge writes it, in UTC: ``2021-11-12T00:00:00Z``."""
    return f"{to_milliseconds(moment)[:-5]}Z"


def epoch_milliseconds(moment: datetime) -> int:
    """Return a moment as SQS counts it, in milliseconds since 1970."""
    since = moment - _EPOCH
    return (since.days * _DAY_S + since.seconds) * 1_000 + since.microseconds // 1_000


def sequencer(moment: datetime) -> str:
    """Return the place of a moment among the events of one key: 18 hexadecimal digits.

    As in live events the first ten digits are the second; the other eight are our microseconds,
    where S3 has digits of its own. Later moments compare greater as text.
    """
    return stamps(moment)[1]


def uuid_text(identifier: bytes) -> str:
    """Return an item's identifier in the form of a UUID, as the state's tables show it."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid_of(item: Item) -> str:
    """Return the identifier of an item in the form of a UUID."""
    return uuid_text(item.identifier)


def request_id_of(item: Item) -> str:
    """Return 16 characters like an S3 request id: the first half of the item's identifier."""
    return item.identifier[:8].hex().upper()


def trace_prefix(context: EventContext) -> str:
    """Return how the id that leads back begins; the item's identifier follows."""
    return f"retrofill/{context.job}/{context.run_id}/"
