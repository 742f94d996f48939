"""The version, which is in one place, and the order of versions."""

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.version import Version

from release.process import ReleaseError

PLACE = Path("include/retrofill/__init__.py")
"""The one place, below the root of the repository."""

_ASSIGNED = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
_IMAGE = re.compile(r"(?<=\bimage: retrofill:)\S+")
_RELEASE = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")


def read_version(root: Path) -> str:
    """Return the current version."""
    (found,) = _ASSIGNED.findall((root / PLACE).read_text(encoding="utf-8"))
    return str(found)


def images(root: Path) -> dict[Path, list[str]]:
    """Return the tags of the image that each compose file names."""
    return {
        path: _IMAGE.findall(path.read_text(encoding="utf-8"))
        for path in root.glob("compose*.yaml")
    }


def write_version(root: Path, version: str) -> None:
    """Write the version into its place, and into the compose files, which cannot import it."""
    _replace(root / PLACE, _ASSIGNED, f'__version__ = "{version}"')
    for path in images(root):
        _replace(path, _IMAGE, version)


def _replace(path: Path, pattern: re.Pattern[str], new: str) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(pattern.sub(new, text), encoding="utf-8")


def to_release(asked: str | None, current: str, tags: Iterable[str]) -> str:
    """Return the version to release: `asked`, else the one that `current` leads to.

    :param tags: the tags of the repository; a release's tag is its version after a ``v``
    :raises ReleaseError: it is not three numbers, or not newer than the last release
    """
    version = asked or Version(current).base_version
    if not _RELEASE.fullmatch(version):
        raise ReleaseError(f"VERSION: {version!r} is not allowed; give three numbers, as in 1.2.0")
    released = [Version(tag[1:]) for tag in tags if tag[0] == "v" and _RELEASE.fullmatch(tag[1:])]
    if released and Version(version) <= max(released):
        raise ReleaseError(
            f"VERSION: {version} is not newer than the last release; give one after {max(released)}"
        )
    return version


def next_development(version: str) -> str:
    """Return the development version that follows a release: 1.2.4.dev0 after 1.2.3."""
    major, minor, patch = Version(version).release
    return f"{major}.{minor}.{patch + 1}.dev0"
