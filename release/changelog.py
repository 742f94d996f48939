"""The changelog: its sections, and how the unreleased one becomes a version.

The format is that of https://keepachangelog.com/en/1.1.0/.
"""

import re
from datetime import date
from typing import NamedTuple

from release.process import ReleaseError

UNRELEASED = "## [Unreleased]"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$")


class Section(NamedTuple):
    """The entries of one version, or the unreleased ones."""

    name: str
    day: date | None
    text: str

    @property
    def kinds(self) -> list[str]:
        """The headings within it."""
        return re.findall(r"^### (.*)$", self.text, re.MULTILINE)

    @property
    def is_empty(self) -> bool:
        """Whether it has only headings."""
        return not re.sub(r"^#.*$", "", self.text, flags=re.MULTILINE).strip()


def sections(changelog: str) -> list[Section]:
    """Return the sections, in their order.

    :raises ReleaseError: a heading has the wrong form
    """
    _, *parts = re.split(r"^(?=## )", changelog, flags=re.MULTILINE)
    found = []
    for part in parts:
        heading, _, text = part.partition("\n")
        if not (match := _HEADING.fullmatch(heading)):
            raise ReleaseError(
                f"CHANGELOG.md: the heading {heading!r} is not allowed; write {UNRELEASED!r} or"
                " '## [1.2.0] - 2026-12-31'"
            )
        day = date.fromisoformat(match["day"]) if match["day"] else None
        found.append(Section(match["name"], day, text.strip()))
    return found


def cut(changelog: str, version: str, day: date) -> str:
    """Return the changelog with all unreleased entries under the version.

    :raises ReleaseError: there are no such entries, or the version is in the changelog already
    """
    found = sections(changelog)
    if not found or found[0].name != "Unreleased" or found[0].is_empty:
        raise ReleaseError(
            f"CHANGELOG.md has no entries under {UNRELEASED!r}: write down what users notice"
        )
    if version in [section.name for section in found]:
        raise ReleaseError(f"CHANGELOG.md already has a section for {version}")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {day}", 1)
