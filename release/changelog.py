"""The changelog: its sections, and how what is unreleased becomes a version.

The format is that of https://keepachangelog.com/en/1.1.0/.
"""

import re
from datetime import date
from typing import NamedTuple

from release.errors import Unfit

UNRELEASED = "## [Unreleased]"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$")


class Section(NamedTuple):
    """What the changelog says of one version, or of what is unreleased."""

    name: str
    day: date | None
    text: str

    @property
    def kinds(self) -> list[str]:
        """The headings within it."""
        return re.findall(r"^### (.*)$", self.text, re.MULTILINE)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but headings."""
        return not re.sub(r"^#.*$", "", self.text, flags=re.MULTILINE).strip()


def sections(changelog: str) -> list[Section]:
    """Return the sections, in their order.

    :raises Unfit: a heading has another form
    """
    _, *parts = re.split(r"^(?=## )", changelog, flags=re.MULTILINE)
    found = []
    for part in parts:
        heading, _, text = part.partition("\n")
        if not (match := _HEADING.fullmatch(heading)):
            raise Unfit(
                f"CHANGELOG.md: {heading!r} is neither {UNRELEASED!r} nor '## [1.2.0] - 2026-12-31'"
            )
        day = date.fromisoformat(match["day"]) if match["day"] else None
        found.append(Section(match["name"], day, text.strip()))
    return found


def cut(changelog: str, version: str, day: date) -> str:
    """Return the changelog with what is unreleased under the version, and nothing unreleased.

    :raises Unfit: there is nothing unreleased, or there is such a version
    """
    found = sections(changelog)
    if not found or found[0].name != "Unreleased" or found[0].is_empty:
        raise Unfit(f"CHANGELOG.md: there is nothing under {UNRELEASED!r} to release")
    if version in [section.name for section in found]:
        raise Unfit(f"CHANGELOG.md: {version} stands there already")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {day}", 1)
