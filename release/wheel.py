"""The wheel: built twice from one commit, with identical bytes."""

import os
import sys
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory

from release.process import ReleaseError, run
from release.repository import git


def sha256(path: Path) -> str:
    """Return the digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def commit_time(tree: Path, commit: str) -> int:
    """Return a commit's time in seconds since 1970, which is the time of all its files."""
    return int(git(tree, "show", "--no-patch", "--format=%ct", commit))


def build(tree: Path, commit: str, version: str, out: Path) -> Path:
    """Build the wheel of a commit into `out`; return its path.

    :raises ReleaseError: the build fails, makes another version, or differs each time
    """
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(commit_time(tree, commit))}
    with TemporaryDirectory(prefix="retrofill-wheel-") as folder:
        found: list[Path] = []
        for name, umask in (("first", 0o022), ("second", 0o077)):
            source, wheels = Path(folder) / name, Path(folder) / f"of-{name}"
            source.mkdir()
            archive = f"{source}.tar"
            git(tree, "archive", "--output", archive, commit)
            run("tar", "-xf", archive, "-C", str(source), umask=umask)
            hatchling = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
            run(*hatchling, "--directory", str(wheels), cwd=source, env=environment)
            found += wheels.glob("*.whl")
        first, second = found
        wheel = f"retrofill-{version}-py3-none-any.whl"
        if first.name != wheel:
            raise ReleaseError(f"the build made {first.name} instead of {wheel}")
        if sha256(first) != sha256(second):
            raise ReleaseError(f"{wheel}: two builds of one commit differ")
        return first.rename(out / wheel)
