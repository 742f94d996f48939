"""Keep the stack's files private to its user: logs show keys, params and errors."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK = 0o077
"""All permissions of users other than the owner."""


@contextmanager
def private_files() -> Iterator[None]:
    """Give other users no permissions for new files of this process."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(directory: Path) -> None:
    """Remove other users' permissions from a folder and everything in it."""
    for folder, _, files in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.lstat().st_mode
            if mode & UMASK and not stat.S_ISLNK(mode):
                with suppress(PermissionError):  # another user's; the folder above protects it
                    path.chmod(stat.S_IMODE(mode) & ~UMASK)
