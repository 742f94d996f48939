"""The git repository that is released: its content, and a working tree next to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from release.process import ReleaseError, run

_ADDRESS = re.compile(r"https://[^@\s]+")


def git(root: Path, *args: str) -> str:
    """Run git in a repository; return what it prints.

    :raises ReleaseError: git fails
    """
    return run("git", "-C", str(root), *args)


def require_clean(root: Path) -> None:
    """Refuse a working tree with changed or untracked files.

    :raises ReleaseError: with their names
    """
    if changed := git(root, "status", "--porcelain"):
        raise ReleaseError(f"the working tree is not clean; commit or remove:\n{changed}")


def address(root: Path) -> str | None:
    """Return the address of `origin`; None if it is not public or contains a login."""
    url = git(root, "config", "--default", "", "--get", "remote.origin.url")
    return url if _ADDRESS.fullmatch(url) else None


@contextmanager
def worktree(root: Path) -> Iterator[Path]:
    """Yield a temporary working tree of the current commit: a failure leaves `root` as it was."""
    with TemporaryDirectory(prefix="retrofill-release-") as folder:
        tree = Path(folder) / "tree"
        git(root, "worktree", "add", "--quiet", "--detach", str(tree))
        try:
            yield tree
        finally:
            git(root, "worktree", "remove", "--force", str(tree))


def commit(tree: Path, subject: str, body: str) -> str:
    """Commit all changes; return the commit's SHA."""
    git(tree, "commit", "--quiet", "--all", "--message", subject, "--message", body)
    return git(tree, "rev-parse", "HEAD")
