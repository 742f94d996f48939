"""Kinds own their words: no module outside a kind's package names S3, Lambda and so on."""

import io
import re
import token
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "include/retrofill"

ROOMS = (
    "aws/",
    "events/records.py",
    "events/s3/",
    "functions/aws_lambda/",
    "sources/manifest/",
    "sources/s3/",
    "triggers/",
)
"""Where the words belong."""

WORDS = (
    "s3", "etag", "bucket", "glacier", "lambda", "arn", "sqs", "sns", "eventbridge", "kinesis",
    "dynamodb",
)  # fmt: skip
_BEGINS = r"(?:(?<![a-zA-Z])|(?<=[a-z])(?=[A-Z]))(?<!width_)(?<!token )"
"""A word starts after a non-letter, or with a capital in the name of a class."""

_WORD = re.compile(rf"{_BEGINS}(?i:{'|'.join(WORDS)})s?(?![a-z])")

ALLOWED = {
    "engine/answers.py": "the response formats are those of AWS, with its names",
    "export/report.py": "the members of manifest.json are those of a completion report",
    "events/shapes.py": "the registry of event shapes",
    "functions/__init__.py": "the registry of functions",
    "model/delivery.py": "the names of those formats of answers",
    "model/quoting.py": "an address that holds no secret, and shows what was mistaken",
    "notifier.py": "SNS is one of the ways to send a report",
    "params/calls.py": "the names of those formats of answers",
    "params/notification.py": "SNS is one of the ways to send a report",
    "params/report.py": "S3 is one of the places of report files",
    "sources/__init__.py": "the registry of sources",
    "sources/files.py": "S3 is one of the places of files",
    "sources/rows/": "S3 is one of the places of files",
    "targets.py": "SNS is one of the ways to send a report",
    "web/rendering.py": "the short name of a function, for people",
}
"""Other places where they are allowed, and why."""


def words_in(path: Path) -> Counter[str]:
    """Return the words of kinds in a file's code, strings and comments."""
    texts = _python(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
    return Counter(
        found.group().lower().removesuffix("s") if found.group().lower() not in WORDS
        else found.group().lower()
        for text in texts
        for found in _WORD.finditer(text)
    )  # fmt: skip


def _python(path: Path) -> Iterator[str]:
    """Yield every token except Python's keyword."""
    source = io.StringIO(path.read_text(encoding="utf-8"))
    for one in tokenize.generate_tokens(source.readline):
        if not (one.type == token.NAME and one.string == "lambda"):
            yield one.string


def found() -> dict[str, Counter[str]]:
    places = {}
    for path in sorted(PRODUCT.rglob("*.*")):
        name = str(path.relative_to(PRODUCT))
        at_home = any(name.startswith(room) for room in ROOMS)
        is_text = path.suffix in {".py", ".sql", ".html", ".js", ".css"}
        if is_text and not at_home and (words := words_in(path)):
            places[name] = words
    return places


def test_no_module_outside_a_kinds_package_uses_its_words() -> None:
    assert {
        name: dict(words)
        for name, words in found().items()
        if not any(name.startswith(place) for place in ALLOWED)
    } == {}


def test_allowed_exceptions_exist() -> None:
    names = found()
    assert [place for place in ALLOWED if not any(name.startswith(place) for name in names)] == []


@pytest.mark.parametrize(
    "line",
    [
        "function_arn = run.function",
        'raise ConfigError("there is no such bucket")',
        "etags = columns[3]",
        "x = 1  # as Lambda does",
        'def f():\n    """Read from S3."""',
        "class S3Reader: ...",
    ],
)
def test_a_word_of_a_kind_is_found(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"{line}\n")
    assert words_in(module)


@pytest.mark.parametrize("line", ["key = lambda row: row", "aliased = learning", "a = barn"])
def test_similar_words_are_not_found(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"{line}\n")
    assert not words_in(module)
