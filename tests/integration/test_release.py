"""A release of a small project: with real git, build and bill of materials."""

import json
import re
import zipfile
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator

from release.__main__ import next_steps
from release.cut import Release, cut
from release.process import ReleaseError
from release.repository import address, git

ROOT = Path(__file__).parents[2]
DAY = date(2026, 12, 31)
DEPLOYED = ("protobuf", "pydantic", "pydantic-core")
FILES = {
    ".gitignore": "dist/\n",
    "include/retrofill/__init__.py": '"""A package."""\n\n__version__ = "0.1.0.dev0"\n',
    "compose.yaml": """\
services:
  one:
    image: retrofill:0.1.0.dev0
  two:
    image: postgres:18
""",
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n",
    "pyproject.toml": """\
[project]
name = "retrofill"
dynamic = ["version"]
requires-python = ">=3.11"
dependencies = ["pydantic"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.version]
path = "include/retrofill/__init__.py"
[tool.hatch.build.targets.wheel]
packages = ["include/retrofill"]
""",
    "requirements-dev.lock": "",
}
DIFFERS = """\
from uuid import uuid4
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        open("include/retrofill/made.txt", "w").write(str(uuid4()))
"""


def lock() -> str:
    """Return the lines of some packages in requirements.lock, and one for another platform."""
    entries = re.split(r"^(?=\w)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    named = [one for one in entries if one.partition("==")[0] in DEPLOYED]
    assert len(named) == len(DEPLOYED)
    return "".join(
        [*named, "elsewhere==1 ; sys_platform == 'none' \\\n    --hash=sha256:", "a" * 64]
    )


def project(root: Path) -> Path:
    for name, text in {**FILES, "requirements.lock": lock()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "config", "user.name", "Somebody")
    git(root, "config", "user.email", "somebody@example.com")
    return commit(root)


def commit(root: Path) -> Path:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change something")
    return root


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Release:
    root = project(tmp_path_factory.mktemp("released"))
    git(root, "remote", "add", "origin", "https://git.example/retrofill.git")
    return cut(root, None, DAY)


@pytest.fixture
def root(released: Release) -> Path:
    return released.folder.parents[1]


def test_a_release_and_the_next_development_version_are_two_commits(
    root: Path, released: Release
) -> None:
    subjects = git(root, "log", "--format=%s").splitlines()
    assert subjects == ["Begin the version after 0.1.0", "Release 0.1.0", "Change something"]
    assert released.commit == git(root, "rev-parse", "HEAD~1")
    assert released.before == git(root, "rev-parse", "HEAD~2")
    composed = git(root, "show", f"{released.commit}:compose.yaml")
    assert re.findall("image: (.*)", composed) == [released.image, "postgres:18"]
    place = "include/retrofill/__init__.py"
    assert '__version__ = "0.1.0"' in git(root, "show", f"{released.commit}:{place}")
    assert '__version__ = "0.1.1.dev0"' in (root / place).read_text()
    assert (
        "## [0.1.0] - 2026-12-31\n\n### Added\n\n- A thing." in (root / "CHANGELOG.md").read_text()
    )
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "tag", "--list") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_the_files_have_the_printed_checksums(root: Path, released: Release) -> None:
    text = (released.folder / "SHA256SUMS").read_text()
    assert text == "".join(
        f"{digest(released.folder / name)}  {name}\n"
        for name in (
            "retrofill-0.1.0-py3-none-any.whl",
            "retrofill-0.1.0.cdx.json",
            "retrofill-0.1.0.provenance.json",
        )
    )
    printed = next_steps(released, root)
    assert text in printed
    assert f"v0.1.0 {released.commit}" in printed
    assert "--tag retrofill:0.1.0 " in printed
    assert "uv publish" not in printed
    (root / "LICENSE").touch()
    assert "  uv publish dist/0.1.0/*.whl\n" in next_steps(released, root)
    (root / "LICENSE").unlink()


def test_the_wheel_is_built_from_the_commit(root: Path, released: Release) -> None:
    with zipfile.ZipFile(released.folder / "retrofill-0.1.0-py3-none-any.whl") as wheel:
        assert b'__version__ = "0.1.0"\n' in wheel.read("retrofill/__init__.py")
        assert b"\nVersion: 0.1.0\n" in wheel.read("retrofill-0.1.0.dist-info/METADATA")
        (day,) = {one.date_time[:3] for one in wheel.infolist()}
    time = int(git(root, "show", "--no-patch", "--format=%ct", released.commit))
    assert day == datetime.fromtimestamp(time, UTC).timetuple()[:3]


def test_the_bill_of_materials_lists_deployed_packages_with_licences_and_hashes(
    released: Release,
) -> None:
    text = (released.folder / "retrofill-0.1.0.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["version"] == "0.1.0"
    wheel = released.folder / "retrofill-0.1.0-py3-none-any.whl"
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest(wheel)}]
    found = {one["name"].replace("_", "-"): one for one in bill["components"]}
    assert set(found) == {*DEPLOYED, "elsewhere"}
    assert found["elsewhere"]["scope"] == "optional"
    for name in DEPLOYED:
        assert found[name]["purl"].endswith(f"@{version(name)}")
        assert found[name]["licenses"]
        hashes = {
            one["content"]
            for reference in found[name]["externalReferences"]
            for one in reference.get("hashes", [])
        }
        assert hashes == set(re.findall(r"sha256:(\w+)", entry(name)))
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert needs["root-component"] == [found["pydantic"]["bom-ref"]]
    assert found["pydantic-core"]["bom-ref"] in needs[found["pydantic"]["bom-ref"]]


def entry(name: str) -> str:
    (found,) = re.findall(rf"^{name}==[^\n]*\n(?: .*\n)*", lock(), re.MULTILINE)
    return str(found)


def test_the_provenance_names_the_files_the_commit_and_the_locks(
    root: Path, released: Release
) -> None:
    statement = json.loads((released.folder / "retrofill-0.1.0.provenance.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {one["name"]: one["digest"] for one in statement["subject"]} == {
        name: {"sha256": digest(released.folder / name)}
        for name in ("retrofill-0.1.0-py3-none-any.whl", "retrofill-0.1.0.cdx.json")
    }
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"version": "0.1.0"}
    assert definition["resolvedDependencies"] == [
        {
            "name": "source",
            "digest": {"gitCommit": released.commit},
            "uri": "git+https://git.example/retrofill.git@refs/tags/v0.1.0",
        },
        *(
            {"name": name, "digest": {"sha256": digest(root / name)}}
            for name in ("requirements.lock", "requirements-dev.lock")
        ),
    ]
    page = (ROOT / "docs/releasing.md").read_text()
    assert definition["buildType"] in page
    assert statement["predicate"]["runDetails"]["builder"]["id"] in page


def refused(root: Path, asked: str | None, message: str) -> None:
    before = git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")
    with pytest.raises(ReleaseError, match=message):
        cut(root, asked, DAY)
    assert (git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")) == before
    assert len(git(root, "worktree", "list").splitlines()) == 1
    assert not (root / "dist").exists()


def test_a_bad_release_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    root = project(tmp_path)
    refused(root, "0.1", "three numbers")
    git(root, "tag", "v0.1.0")
    refused(root, None, "0.1.0 is not newer than the last release; give one after 0.1.0")
    (root / "untracked.py").touch()
    refused(root, "0.2.0", r"not clean.*\n\?\? untracked.py")
    (root / "untracked.py").unlink()
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    refused(root, "0.2.0", r"not clean.*\n ?M CHANGELOG.md")
    refused(commit(root), "0.2.0", "no entries under")


def test_a_wheel_that_is_not_reproducible_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "hatch_build.py").write_text(DIFFERS)
    with (root / "pyproject.toml").open("a") as file:
        file.write('artifacts = ["*.txt"]\n[tool.hatch.build.hooks.custom]\n')
    refused(commit(root), None, "two builds of one commit differ")


def test_a_login_in_the_repository_url_is_left_out(tmp_path: Path) -> None:
    project(tmp_path)
    assert address(tmp_path) is None
    for url, expected in (
        ("https://somebody:secret@git.example/retrofill.git", None),
        ("/home/somebody/retrofill", None),
        ("https://git.example/retrofill.git", "https://git.example/retrofill.git"),
    ):
        git(tmp_path, "config", "remote.origin.url", url)
        assert address(tmp_path) == expected


def test_every_format_in_a_bill_of_materials_is_checked() -> None:
    """jsonschema ignores a format whose package is not installed."""
    checked = Draft7Validator.FORMAT_CHECKER.checkers.keys()
    assert checked >= {"date-time", "idn-email", "iri-reference"}
