"""The wheel: built twice from one commit, and the same to the byte."""

import os
import subprocess
import sys
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory

from release.errors import Unfit
from release.repository import git


def sha256(path: Path) -> str:
    """Return the digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def commit_time(tree: Path, commit: str) -> int:
    """Return when a commit was made, in seconds since 1970: the time of all that is built of it."""
    return int(git(tree, "show", "--no-patch", "--format=%ct", commit))


def build(tree: Path, commit: str, version: str, out: Path) -> Path:
    """Build the wheel of a commit into ``out``; return its path.

    :raises Unfit: it cannot be built, is of another version, or comes out differently each time
    """
    with TemporaryDirectory(prefix="retrofill-wheel-") as folder:
        found = []
        for name, umask in (("first", 0o022), ("second", 0o077)):
            source = Path(folder) / name
            source.mkdir()
            archive = Path(folder) / f"{name}.tar"
            git(tree, "archive", "--output", str(archive), commit)
            _run(("tar", "-xf", str(archive), "-C", str(source)), umask)
            found.append(_build(source, commit_time(tree, commit), Path(folder) / f"of-{name}"))
        first, second = found
        wheel = f"retrofill-{version}-py3-none-any.whl"
        if first.name != wheel:
            raise Unfit(f"the build made {first.name} instead of {wheel}")
        if sha256(first) != sha256(second):
            raise Unfit(f"{wheel}: two builds of one commit differ")
        return first.rename(out / wheel)


def _build(source: Path, time: int, out: Path) -> Path:
    _run(
        (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)),
        umask=-1,
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(time)},
    )
    (wheel,) = out.glob("*.whl")
    return wheel


def _run(
    command: tuple[str, ...],
    umask: int,
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(  # noqa: S603 - a command of ours
        command, capture_output=True, text=True, check=False, umask=umask, cwd=cwd, env=env
    )
    if done.returncode:
        raise Unfit(f"{' '.join(command)}: {done.stderr.strip()}")
