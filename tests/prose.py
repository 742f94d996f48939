"""Find the words that we no longer write: ``python -m tests.prose``.

docs/contributing/style.md lists them. Code in a text is not looked at.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
STYLE = ROOT / "docs/contributing/style.md"
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def dropped() -> re.Pattern[str]:
    """Return a pattern for every word on the list."""
    (listed,) = re.findall(r"```text\n(anew.*?)\n```", STYLE.read_text(), re.DOTALL)
    words = re.split(r", |\n", listed)
    spaced = (re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"\b(?:{'|'.join(spaced)})\b", re.IGNORECASE)


def texts() -> list[Path]:
    """Return the files to look at."""
    return sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {STYLE})


def found_in(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Return the line and the wording of each find in a text."""
    blank = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    for found in pattern.finditer(blank):
        yield blank.count("\n", 0, found.start()) + 1, " ".join(found[0].split())


def main() -> int:
    """Print each find; return 1 if there is one."""
    pattern = dropped()
    finds = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}; see docs/contributing/style.md"
        for path in texts()
        for line, word in found_in(path.read_text(), pattern)
    ]
    sys.stdout.writelines(f"{find}\n" for find in finds)
    return bool(finds)


if __name__ == "__main__":
    sys.exit(main())
