"""Find words that we dropped, in docs and code: ``python -m tests.prose``.

docs/contributing/style.md lists them. Names count as words: ``run_at_work`` is *run at work*.
"""

import io
import keyword
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STYLE = ROOT / "docs/contributing/style.md"
QUOTING = {STYLE, Path(__file__).resolve(), ROOT / "tests/unit/test_prose.py"}
FOLDERS = ("benchmarks", "dags", "demo", "docs", "include", "plugins", "release", "stack", "tests")
SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sql", ".toml", ".yaml", ".yml"}

# What is not ours to reword: code in prose, and the tests of Jinja and SQL ("x is none").
_QUOTED = {
    ".md": re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE),
    ".html": re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL),
}
_PYTHON = {tokenize.COMMENT, tokenize.STRING, tokenize.NAME}
_F_STRING = getattr(tokenize, "FSTRING_MIDDLE", None)


def dropped() -> re.Pattern[str]:
    """Return a pattern for every word on the list."""
    (listed,) = re.findall(r"```text\n(anew.*?)\n```", STYLE.read_text(), re.DOTALL)
    words = re.split(r", |\n", listed)
    spaced = (re.escape(word).replace(r"\ ", r"[\s_]+") for word in words)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(spaced)})(?![^\W_])", re.IGNORECASE)


def paths() -> list[Path]:
    """Return the files to look at."""
    everything = [*ROOT.iterdir(), *(p for one in FOLDERS for p in (ROOT / one).rglob("*"))]
    return sorted(
        path
        for path in everything
        if (path.suffix in SUFFIXES or path.name in {"Dockerfile", "Makefile"})
        and path not in QUOTING
    )


def prose_of(text: str, suffix: str) -> str:
    """Return a text with everything blank that is not ours to word, in the same lines."""
    if suffix == ".py":
        return _python(text)
    if suffix in _QUOTED:
        return _QUOTED[suffix].sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    return text


def _python(text: str) -> str:
    """Return the comments, strings and names of a Python module."""
    blank = [[" "] * len(line) for line in text.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _PYTHON and token.type != _F_STRING:
            continue
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            continue
        (row, column), lines = token.start, token.string.split("\n")
        for number, line in enumerate(lines, row - 1):
            start = column if number == row - 1 else 0
            blank[number][start : start + len(line)] = line
    return "\n".join("".join(line) for line in blank)


def found_in(text: str, suffix: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Return the line and the wording of each find in a text."""
    prose = prose_of(text, suffix)
    for found in pattern.finditer(prose):
        yield prose.count("\n", 0, found.start()) + 1, " ".join(found[0].split())


def main() -> int:
    """Print each find; return 1 if there is one."""
    pattern = dropped()
    finds = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}; see docs/contributing/style.md"
        for path in paths()
        for line, word in found_in(path.read_text(), path.suffix, pattern)
    ]
    sys.stdout.writelines(f"{find}\n" for find in finds)
    return bool(finds)


if __name__ == "__main__":
    sys.exit(main())
