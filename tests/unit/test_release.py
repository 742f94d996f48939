"""Which version may be released, and what becomes of the changelog."""

from datetime import date
from importlib.metadata import version

import pytest

from release import changelog, versions
from release.process import ReleaseError
from release.sbom import optional_packages

DAY = date(2026, 12, 31)
CHANGELOG = """\
# Changelog

What users notice.

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-11-01

### Fixed

- Another.
"""


def test_the_next_release_is_the_development_version() -> None:
    assert versions.to_release(None, "0.2.0.dev0", ["v0.1.0"]) == "0.2.0"
    assert (
        versions.to_release("1.0.0", "0.2.0.dev0", ["v0.9.9", "w7.0.0", "v8", "other"]) == "1.0.0"
    )


@pytest.mark.parametrize(
    "asked", ["1.0", "v1.0.0", "1.0.0rc1", "1.0.0.dev0", "1.0.0+a", "01.0.0", "x"]
)
def test_a_version_is_three_numbers(asked: str) -> None:
    with pytest.raises(ReleaseError, match=r"VERSION: '.*' is not allowed; give three numbers"):
        versions.to_release(asked, "0.1.0.dev0", [])


@pytest.mark.parametrize("asked", ["0.10.0", "0.9.1"])
def test_a_version_must_be_later_than_the_last_release(asked: str) -> None:
    with pytest.raises(
        ReleaseError, match=r"is not newer than the last release; give one after 0\.10\.0"
    ):
        versions.to_release(asked, "0.1.0.dev0", ["v0.9.0", "v0.10.0"])


def test_the_development_version_is_between_two_releases() -> None:
    assert versions.next_development("1.2.3") == "1.2.4.dev0"


def test_unreleased_changes_become_the_version() -> None:
    found = changelog.sections(changelog.cut(CHANGELOG, "0.2.0", DAY))
    assert [(one.name, one.day) for one in found] == [
        ("Unreleased", None),
        ("0.2.0", DAY),
        ("0.1.0", date(2026, 11, 1)),
    ]
    assert found[0].is_empty
    assert found[1].text == "### Added\n\n- A thing."
    assert found[2].kinds == ["Fixed"]


def test_without_unreleased_changes_there_is_no_release() -> None:
    released = changelog.cut(CHANGELOG, "0.2.0", DAY)
    for empty in (
        released,
        released.replace("## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n#### Pages\n"),
        released.replace("## [Unreleased]\n", ""),
    ):
        with pytest.raises(ReleaseError, match="no entries under"):
            changelog.cut(empty, "0.3.0", DAY)


def test_a_version_is_released_once() -> None:
    with pytest.raises(ReleaseError, match=r"already has a section for 0\.1\.0"):
        changelog.cut(CHANGELOG, "0.1.0", DAY)


@pytest.mark.parametrize("heading", ["## Unreleased", "## 0.1.0", "## [0.1.0] (2026-11-01)"])
def test_a_heading_has_one_form(heading: str) -> None:
    with pytest.raises(ReleaseError, match="is not allowed; write"):
        changelog.sections(f"{heading}\n\ntext\n")


def test_a_lock_is_split_into_needed_and_unneeded_packages() -> None:
    here = version("packaging")
    lock = (
        "# made by\n"
        f"Packaging=={here} ; sys_platform != 'none' \\\n    --hash=sha256:aa\n"
        f"pytest=={version('pytest')} \\\n    --hash=sha256:bb\n"
        "Else.where==1 ; sys_platform == 'none' \\\n    --hash=sha256:cc\n"
    )
    assert optional_packages(lock) == {"else-where"}
    with pytest.raises(
        ReleaseError, match=rf"Packaging==1\.0, but this environment has {here}: install"
    ):
        optional_packages(lock.replace(here, "1.0"))
    with pytest.raises(ReleaseError, match=r"nowhere==1, but this environment has none: install"):
        optional_packages("nowhere==1 \\\n    --hash=sha256:cc\n")
