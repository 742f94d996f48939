"""The version, which stands in one place, and what may come after what."""

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from release.errors import Unfit

PLACE = Path("include/retrofill/__init__.py")
"""The one place, below the root of the repository."""

_ASSIGNED = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
_IMAGE = re.compile(r"(?<=\bimage: retrofill:)\S+")
_RELEASE = re.compile(r"\d+\.\d+\.\d+")


def read_version(root: Path) -> str:
    """Return the version that stands in its place."""
    (found,) = _ASSIGNED.findall((root / PLACE).read_text(encoding="utf-8"))
    return str(found)


def images(root: Path) -> dict[Path, list[str]]:
    """Return the tags of the image that each compose file names."""
    return {
        path: _IMAGE.findall(path.read_text(encoding="utf-8"))
        for path in root.glob("compose*.yaml")
    }


def write_version(root: Path, version: str) -> None:
    """Put the version in its place, and into the compose files, which can read it from nowhere."""
    _replace(root / PLACE, _ASSIGNED, f'__version__ = "{version}"')
    for path in images(root):
        _replace(path, _IMAGE, version)


def _replace(path: Path, pattern: re.Pattern[str], new: str) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(pattern.sub(new, text), encoding="utf-8")


def to_release(asked: str | None, current: str, tags: Iterable[str]) -> str:
    """Return the version to release: the one that is asked for, else what ``current`` leads to.

    :param current: the version in its place
    :param tags: the tags of the repository; those of releases are the version after a ``v``
    :raises Unfit: no version, or not one that comes after the last release
    """
    version = asked or Version(current).base_version
    try:
        fit = _RELEASE.fullmatch(version) and str(Version(version)) == version
    except InvalidVersion:  # pragma: no cover
        fit = False
    if not fit:
        raise Unfit(f"VERSION: {version!r} is not a version of three numbers, such as 1.2.0")
    released = [Version(tag[1:]) for tag in tags if _RELEASE.fullmatch(tag[1:]) and tag[0] == "v"]
    if released and Version(version) <= max(released):
        raise Unfit(f"VERSION: {version} does not come after {max(released)}, the last release")
    return version


def after(version: str) -> str:
    """Return the version of what comes after a release: a development version of the next."""
    major, minor, patch = Version(version).release
    return f"{major}.{minor}.{patch + 1}.dev0"
