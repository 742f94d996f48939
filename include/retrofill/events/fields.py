"""The fields that several event shapes share: text, keys, times and the ids that lead back.

Whatever a lister cannot know is made up, the same for the same item and run: the ids hold the
item's identifier, and one of them also the job and the run, so that a line the function logged
leads back to the item.
"""

from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii
from sys import byteorder
from urllib.parse import quote, quote_plus

from retrofill.aws import arn
from retrofill.events.context import EventContext
from retrofill.model.items import IDENTIFIER_BYTES, Item

PRINCIPAL = "AIDARETROFILLREPLAYED"
"""Stands for whoever made the object, which a listing does not tell."""

SOURCE_IP = "127.0.0.1"
"""Stands for the address the object was made from, which a listing does not tell."""

MULTIPART_MARK = "-"
"""Stands in the ETag of an object that was uploaded in parts, before the number of parts."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_S = 60
_SECONDS_AT = len("2019-09-03T19:37:")
_MOST_MINUTES = 10_000
_TWO = tuple(f"{number:02}" for number in range(60))

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


class _Minutes(dict[int, str]):
    """The beginnings of minutes since 1970, as ``2019-09-03T19:37:``, of those asked for last."""

    def __missing__(self, minute: int) -> str:
        if len(self) >= _MOST_MINUTES:
            self.clear()
        self[minute] = text = (_EPOCH + timedelta(minutes=minute)).isoformat()[:_SECONDS_AT]
        return text


_minutes = _Minutes()


def digits_of_each(data: bytes, size: int, *, upper: bool = False, before: str = "") -> list[str]:
    """Return the hexadecimal digits of each ``size`` bytes.

    :param before: what stands before those of each
    """
    digits = data.hex(" ", size)
    digits = digits.upper() if upper else digits
    return (
        f"{before}{digits}".replace(" ", f" {before}").split()
        if data and before
        else digits.split()
    )


def all_to_milliseconds(moments: Sequence[str]) -> list[str]:
    """Return moments as S3 and SNS write them, in UTC: ``2019-09-03T19:37:27.192Z``.

    :param moments: seconds since 1970 in decimal digits, with or without a fraction
    """
    return times_of(moments)[0]


def all_sequencers(moments: Sequence[str]) -> list[str]:
    """Return the place of each moment among the events of one key: 18 hexadecimal digits.

    As in live events the first ten digits are the second; the other eight are our microseconds,
    where S3 has digits of its own. Later moments compare greater as text.
    """
    return times_of(moments)[1]


def times_of(moments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return moments as :func:`all_to_milliseconds` and :func:`all_sequencers` do."""
    if "." in "".join(moments):
        return _fine_times(moments)
    seconds = list(map(int, moments))
    minutes, two = _minutes, _TWO
    texts = [f"{minutes[one // _MINUTE_S]}{two[one % _MINUTE_S]}.000Z" for one in seconds]
    try:
        # As numbers of 64 bits, whose digits are written all at once.
        places = array("Q", [one << 32 for one in seconds])
    except OverflowError:  # from 2106 on
        return _fine_times(moments)
    if byteorder == "little":
        places.byteswap()
    digits = digits_of_each(places.tobytes(), places.itemsize, upper=True, before="00")
    return texts, digits


def _fine_times(moments: Sequence[str]) -> tuple[list[str], list[str]]:
    parted = [(one, one.partition(".")[0]) for one in moments]
    return (
        [f"{to_second(one)}.{_fraction(one, 3)}Z" for one in moments],
        [f"{int(whole):010X}{int(_fraction(one, 6)):08X}" for one, whole in parted],
    )


def to_second(moment: str) -> str:
    """Return the second of a moment, in UTC: ``2021-11-12T00:00:00``."""
    minute, second = divmod(int(moment.partition(".")[0]), _MINUTE_S)
    return f"{_minutes[minute]}{_TWO[second]}"


def epoch_milliseconds(moment: str) -> str:
    """Return a moment as SQS counts it, in milliseconds since 1970."""
    return f"{moment.partition('.')[0]}{_fraction(moment, 3)}"


def _fraction(moment: str, digits: int) -> str:
    """Return the first digits of a moment's fraction of a second."""
    return moment.partition(".")[2].ljust(digits, "0")[:digits]


def uuid_text(identifier: bytes) -> str:
    """Return an item's identifier in the form of a UUID, as the state's tables show it."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid_texts(identifiers: bytes) -> list[str]:
    """Return many identifiers, one after another, as :func:`uuid_text` does."""
    return [
        f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        for digits in digits_of_each(identifiers, IDENTIFIER_BYTES)
    ]


def uuid_of(item: Item) -> str:
    """Return the identifier of an item in the form of a UUID."""
    return uuid_text(item.identifier)


def request_id_of(item: Item) -> str:
    """Return 16 characters like an S3 request id: the first half of the item's identifier."""
    return item.identifier[:8].hex().upper()


def trace_prefix(context: EventContext) -> str:
    """Return how the id that leads back begins; the item's identifier follows."""
    return f"retrofill/{context.job}/{context.run_id}/"
