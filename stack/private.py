"""Keeps what the stack has on disk to the user who runs it: logs show keys, params and errors."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK = 0o077
"""What nobody but the owner gets of a new file."""


@contextmanager
def private_files() -> Iterator[None]:
    """Have this process make files that only their owner may read."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(directory: Path) -> None:
    """Take a folder and all in it from everybody but its owner, whoever made it how."""
    for folder, _, files in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.lstat().st_mode
            if mode & UMASK and not stat.S_ISLNK(mode):
                with suppress(PermissionError):  # of another user; the folder above keeps it
                    path.chmod(stat.S_IMODE(mode) & ~UMASK)
