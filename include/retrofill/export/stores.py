"""Stores: where report files are written, via smart_open."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from retrofill.aws.store import SCHEMES, ObjectStore
from retrofill.model.connections import Connections
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError, NotWritten

PARAM = "report_to"

ROOT = "RETROFILL_REPORTS"
"""The environment variable with the directory below which tasks may write on their own disk."""

_PROBE = "retrofill-may-write"
_NO_STORES = frozenset({"", "file", "http", "https"})


class Disk:
    """The disk of this machine.

    :param root: the directory below which files may be written; None: anywhere
    """

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else root.resolve()

    def require_writable(self, folder: Destination) -> None:
        """Check whether the folder, or its closest existing parent, is writable."""
        path = Path(str(folder))
        if self._root is not None and not path.resolve().is_relative_to(self._root):
            raise ConfigError(f"{PARAM}: {path} is not allowed; give a path in {self._root}")
        there = next(one for one in (path, *path.parents) if one.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"{PARAM}: {there} is not a directory that may be written to")

    @contextmanager
    def writing(self, file: Destination) -> Iterator[IO[bytes]]:
        """Open a new file, which appears at its place once it is complete."""
        path = Path(str(file))
        self.require_writable(Destination("", "", str(path.parent)))
        unfinished = path.with_name(f"{path.name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as opened:
                yield opened
            unfinished.replace(path)
        except OSError as error:
            raise NotWritten(f"{PARAM}: {path} could not be written: {error}") from error


class Remote:
    """Any other store that smart_open supports here, with the credentials that it finds."""

    def require_writable(self, folder: Destination) -> None:
        """Write an empty file, which stays."""
        with self.writing(folder / _PROBE):
            pass

    @contextmanager
    def writing(self, file: Destination) -> Iterator[IO[bytes]]:
        """Open a new file."""
        import smart_open  # noqa: PLC0415  it takes a tenth of a second that few tasks need

        try:
            # Otherwise it compresses files whose names end in .gz.
            with smart_open.open(str(file), "wb", compression="disable") as opened:
                yield opened
        except Exception as error:
            # Each store raises errors of its own library.
            raise NotWritten(f"{PARAM}: {file} could not be written: {error}") from error


Store: TypeAlias = Disk | Remote | ObjectStore
"""Where files can be written. Each method raises ConfigError if they cannot be, and NotWritten if a
retry may succeed."""


def open_store(
    folder: Destination, connections: Connections, aws_conn_id: str, *, anywhere: bool = False
) -> Store:
    """Return the store of a folder; it writes nothing yet.

    :param anywhere: whether to write anywhere on this machine's disk that its user may
    :raises ConfigError: the scheme is unknown, or this machine allows no directory
    """
    if not folder.scheme:
        return Disk(None if anywhere else _root(folder))
    if folder.scheme == SCHEMES[0]:
        return ObjectStore(connections.aws(aws_conn_id), folder, PARAM)
    from smart_open.transport import SUPPORTED_SCHEMES  # noqa: PLC0415  see above

    known = sorted(set(SUPPORTED_SCHEMES) - _NO_STORES - set(SCHEMES[1:]))
    if folder.scheme not in known:
        raise ConfigError(
            f"{PARAM}: {folder.scheme}:// is not supported by smart_open here; give a path, or one"
            f" of {', '.join(f'{scheme}://' for scheme in known)}"
        )
    return Remote()


def _root(folder: Destination) -> Path:
    root = Path(os.environ.get(ROOT, ""))
    if not root.is_absolute():
        raise ConfigError(
            f"{PARAM}: {folder} is on the worker's own disk; to write there, set {ROOT} in its"
            " environment to the absolute path of a directory"
        )
    return root
