"""Cut a release in its own working tree, and merge it when everything is done."""

import shutil
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from release import changelog, repository, versions
from release.provenance import write_provenance
from release.sbom import write_sbom
from release.wheel import build, commit_time, sha256


class Release(NamedTuple):
    """A release that is only on this machine."""

    version: str
    before: str
    """The commit before it."""
    commit: str
    folder: Path
    """Its files."""

    @property
    def tag(self) -> str:
        """The tag of the commit."""
        return f"v{self.version}"

    @property
    def image(self) -> str:
        """The name and tag of the image."""
        return f"retrofill:{self.version}"


def cut(root: Path, asked: str | None, day: date) -> Release:
    """Commit a release and build its files below ``dist/``; publish nothing.

    :param asked: the version; None: the one that the current version leads to
    :raises ReleaseError: there can be no release; nothing was changed
    """
    repository.require_clean(root)
    tags = repository.git(root, "tag", "--list").split()
    version = versions.to_release(asked, versions.read_version(root), tags)
    before = repository.git(root, "rev-parse", "HEAD")
    with repository.worktree(root) as tree, TemporaryDirectory(prefix="retrofill-dist-") as folder:
        log = tree / "CHANGELOG.md"
        log.write_text(
            changelog.cut(log.read_text(encoding="utf-8"), version, day), encoding="utf-8"
        )
        versions.write_version(tree, version)
        commit = repository.commit(tree, f"Release {version}", "CHANGELOG.md lists what is in it.")
        built = Path(folder) / version
        built.mkdir()
        _write_files(tree, commit, version, built)
        versions.write_version(tree, versions.next_development(version))
        last = repository.commit(
            tree,
            f"Begin the version after {version}",
            "Later builds must not be mistaken for that release.",
        )
        repository.git(root, "merge", "--quiet", "--ff-only", last)
        kept = root / "dist" / version
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        shutil.move(built, kept)
    return Release(version, before, commit, kept)


def _write_files(tree: Path, commit: str, version: str, folder: Path) -> None:
    wheel = build(tree, commit, version, folder)
    sbom = folder / f"retrofill-{version}.cdx.json"
    write_sbom(tree, wheel, version, commit_time(tree, commit), sbom)
    provenance = folder / f"retrofill-{version}.provenance.json"
    write_provenance(
        tree,
        (wheel, sbom),
        commit=commit,
        version=version,
        address=repository.address(tree),
        path=provenance,
    )
    sums = "".join(f"{sha256(file)}  {file.name}\n" for file in (wheel, sbom, provenance))
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
