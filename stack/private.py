"""Keep the stack's files private to its user: logs show keys, params and errors."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK = 0o077
"""The permissions of a new file that only its owner gets."""


@contextmanager
def private_files() -> Iterator[None]:
    """Make the files that this process creates readable only by their owner."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(directory: Path) -> None:
    """Make a folder and everything in it accessible only by its owner."""
    for folder, _, files in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.lstat().st_mode
            if mode & UMASK and not stat.S_ISLNK(mode):
                with suppress(PermissionError):  # of another user; the folder above protects it
                    path.chmod(stat.S_IMODE(mode) & ~UMASK)
