"""The fields that several event shapes share: text, keys, times and the ids that lead back.

Whatever a lister cannot know is made up, the same for the same item and run: the ids hold the
item's identifier, and one of them also the job and the run, so that a line the function logged
leads back to the item.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from urllib.parse import quote, quote_plus

from retrofill.aws import arn
from retrofill.events.context import EventContext
from retrofill.model.items import Item

PRINCIPAL = "AIDARETROFILLREPLAYED"
"""Stands for whoever made the object, which a listing does not tell."""

SOURCE_IP = "127.0.0.1"
"""Stands for the address the object was made from, which a listing does not tell."""

MULTIPART_MARK = "-"
"""Stands in the ETag of an object that was uploaded in parts, before the number of parts."""

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
    return arn.bucket_arn(context.bucket, arn.Arn.parse(context.function_arn).partition)


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


def digits_of_each(data: bytes, size: int, *, upper: bool = False) -> list[str]:
    """Return the hexadecimal digits of each ``size`` bytes."""
    digits = data.hex(" ", size)
    return (digits.upper() if upper else digits).split()


def to_milliseconds(moment: datetime) -> str:
    """Return a moment as S3 and SNS write it, in UTC: ``2019-09-03T19:37:27.192Z``."""
    since = moment - _EPOCH
    minute, second = divmod(since.seconds, 60)
    # A quarter of the time of isoformat, which asks the time zone.
    return (
        f"{_day(since.days)}{_MINUTES[minute]}{_TWO[second]}.{_THREE[since.microseconds // 1_000]}Z"
    )


def all_to_milliseconds(moments: Sequence[str]) -> list[str]:
    """Return many moments as :func:`to_milliseconds` does.

    :param moments: in UTC; ISO 8601 without an offset, seconds with or without a fraction
    """
    return [
        f"{moment}.000Z" if len(moment) == _WHOLE else f"{moment[:_WHOLE]}.{moment[20:]:0<3.3}Z"
        for moment in moments
    ]


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
    since = moment - _EPOCH
    return f"{(since.days * _DAY_S + since.seconds << 32) + since.microseconds:018X}"


def all_sequencers(moments: Sequence[str]) -> list[str]:
    """Return the sequencers of many moments, which are as for :func:`all_to_milliseconds`."""
    since = [moment - _NAIVE_EPOCH for moment in map(datetime.fromisoformat, moments)]
    places = b"".join(
        [((one.days * _DAY_S + one.seconds << 32) + one.microseconds).to_bytes(9) for one in since]
    )
    return digits_of_each(places, 9, upper=True)


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
