"""The git repository that is released: what it holds, and a working tree beside it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from release.errors import Unfit

_ADDRESS = re.compile(r"https://[^@\s]+")


def git(root: Path, *args: str) -> str:
    """Return what git says.

    :raises Unfit: git refuses
    """
    done = subprocess.run(  # noqa: S603 - its arguments are ours
        ("git", "-C", str(root), *args),  # noqa: S607 - the one on the path
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unfit(f"git {args[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def require_clean(root: Path) -> None:
    """Check that nothing is changed and nothing is untracked.

    :raises Unfit: something is
    """
    if changed := git(root, "status", "--porcelain"):
        raise Unfit(f"the working tree is not clean; commit or remove:\n{changed}")


def tags(root: Path) -> list[str]:
    """Return the names of all tags."""
    return git(root, "tag", "--list").split()


def address(root: Path) -> str | None:
    """Return the public address of the repository, if ``origin`` is one and holds no login."""
    done = git(root, "remote")
    if "origin" not in done.split():
        return None
    url = git(root, "remote", "get-url", "origin")
    return url if _ADDRESS.fullmatch(url) else None


@contextmanager
def beside(root: Path) -> Iterator[Path]:
    """Lend a working tree of the current commit, so that what fails leaves ``root`` as it was."""
    with TemporaryDirectory(prefix="retrofill-release-") as folder:
        tree = Path(folder) / "tree"
        git(root, "worktree", "add", "--quiet", "--detach", str(tree))
        try:
            yield tree
        finally:
            git(root, "worktree", "remove", "--force", str(tree))


def commit(tree: Path, subject: str, body: str) -> str:
    """Commit all that has changed; return the commit's SHA."""
    git(tree, "commit", "--quiet", "--all", "--message", subject, "--message", body)
    return git(tree, "rev-parse", "HEAD")
