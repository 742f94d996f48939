"""The objects of the demo: keys and contents like those of a bucket after some years."""

from collections.abc import Iterator
from typing import NamedTuple

_LONGEST_KEY_BYTES = 1024

_KEYS = (
    "logs/2025/{number:05}.log",
    "reports/quarter {number:05}, final version.txt",
    "logs/2026/{number:05}.log",
    "feeds/a+b/{number:05}+1.csv",
    "logs/2026/web/{number:05}.log",
    "discounts/100%/{number:05}%20off.csv",
    "logs/2026/app/{number:05}.log",
    "français/été/résumé-{number:05}.txt",
    "incoming/{number:05}",
    "日本語/報告書 {number:05}.txt",
    "incoming/scans/{number:05}.txt",
    "odd/🚀 {number:05}.md",
    "{number:05}.txt",
    "odd/first line\nsecond line\t{number:05}.txt",
    "archive/{number:05}.txt",
    "odd/&<>\"'?#=;:@$!*(){{}}[]^|~\\, {number:05}.txt",
    "archive/long/{number:05}/",
    "archive/lång/{number:05}/",
)
_SENTENCE = "it was there before the function came\n"
_EMPTY_EVERY = 90
_LARGE_EVERY = 50
_LARGE_LINES = 1500


class StoredObject(NamedTuple):
    """An object to put into a bucket."""

    key: str
    body: bytes


def objects_from_before(count: int) -> Iterator[StoredObject]:
    """Yield objects of 0 to 57 KB with every kind of key that S3 allows."""
    for number in range(count):
        key = _KEYS[number % len(_KEYS)].format(number=number)
        if key.endswith("/"):
            key = _longest(key)
        lines = 1 + number * 37 % 120
        if number % _EMPTY_EVERY == 0:
            lines = 0
        elif number % _LARGE_EVERY == 0:
            lines = _LARGE_LINES
        yield StoredObject(key, (_SENTENCE * lines).encode())


def live_objects(count: int) -> Iterator[StoredObject]:
    """Yield objects that arrive after the trigger was attached.

    Their keys have no ``+`` and no ``%``. S3 encodes the key in its events and the function decodes
    it, but the emulator does not encode it.
    """
    for number in range(count):
        yield StoredObject(f"live/новый файл {number}.txt", b"it came after the function\n")


def _longest(start: str) -> str:
    """Return a key as long as S3 allows, in folders whose names any file system allows."""
    letter = "ö" if "å" in start else "o"
    width = len(letter.encode())
    key, room = start, _LONGEST_KEY_BYTES - len(start.encode())
    folder = letter * (100 // width) + "/"
    while room > len(folder.encode()):
        key += folder
        room -= len(folder.encode())
    return key + letter * (room // width) + "o" * (room % width)
