"""The text encodings that scanners read, and how to recognize that of a file."""

import codecs
from typing import NamedTuple

AUTO = "auto"
"""Recognize the encoding: by a byte order mark, otherwise UTF-8."""

ENCODINGS = (
    "utf-8", "utf-16-le", "utf-16-be", "ascii", "iso-8859-1", "iso-8859-2", "iso-8859-5",
    "iso-8859-7", "iso-8859-9", "iso-8859-15", "cp437", "cp850", "cp1250", "cp1251", "cp1252",
    "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "koi8-r", "koi8-u", "mac-roman",
    "big5", "cp932", "euc-jp", "euc-kr", "gb18030", "gbk", "shift_jis",
)  # fmt: skip
"""The encodings in which a line always ends with the same bytes."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = {"utf-16-le": 0, "utf-16-be": 1}
_NUL_SHARE = 0.3


class Encoding(NamedTuple):
    """How a file's text is encoded."""

    name: str
    mark: bytes = b""
    """The byte order mark that it begins with."""

    @property
    def words(self) -> str:
        """Its description."""
        name = self.name.upper() if self.name.startswith("utf") else self.name
        return f"{name} with a byte order mark" if self.mark else name


def recognize_encoding(beginning: bytes, asked: str = AUTO) -> Encoding:
    """Return the encoding of a file from its first bytes.

    :param asked: one of ENCODINGS, or AUTO
    :raises ValueError: the bytes contradict the encoding
    """
    if beginning.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise ValueError("it is encoded as UTF-32, which is not supported; convert it to UTF-8")
    for mark, name in _MARKS:
        if beginning.startswith(mark) and asked in {AUTO, name}:
            return Encoding(name, mark)
    if asked != AUTO:
        return Encoding(asked)
    for name, place in _WIDE.items():
        # Latin text in UTF-16 is NUL in every other byte.
        zeros = beginning[1 - place :: 2].count(0)
        if zeros and zeros > _NUL_SHARE * len(beginning) / 2:
            raise ValueError(
                f"it looks like {name.upper()} without a byte order mark; name its encoding"
            )
    return Encoding("utf-8")
