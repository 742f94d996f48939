"""Kinds own their words: no module outside a kind's own room names S3, Lambda or their like."""

import io
import re
import token
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "include/retrofill"

ROOMS = {
    "aws/",
    "sources/s3/",
    "sources/manifest/",
    "functions/aws_lambda/",
    "triggers/",
    "events/notification.py",
    "events/relays.py",
    "events/eventbridge.py",
    "events/batch_operations.py",
    "events/records.py",
    "state/migrations/",
}
"""Where the words are at home; a migration says what was."""

WORDS = (
    "s3", "etag", "bucket", "glacier", "lambda", "arn", "sqs", "sns", "eventbridge", "kinesis",
    "dynamodb", "alias",
)  # fmt: skip
_WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})s?(?![a-z])", re.IGNORECASE)

ALLOWED: dict[tuple[str, str], str] = {}
"""What is still allowed elsewhere, by module or folder, and why."""


def words_in(path: Path) -> Counter[str]:
    """Return the words of kinds in a file: in its code, its texts and its comments."""
    texts = _python(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
    return Counter(
        found.group().lower().removesuffix("s") if found.group().lower() not in WORDS
        else found.group().lower()
        for text in texts
        for found in _WORD.finditer(text)
    )  # fmt: skip


def _python(path: Path) -> Iterator[str]:
    """Yield every token but Python's own keyword."""
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
