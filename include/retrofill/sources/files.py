"""Files of rows: where they are, and their bytes from any offset while they are unchanged."""

import logging
import os
import random
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fnmatch import translate
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from retrofill.aws.payer import HINT, paying
from retrofill.aws.refusals import (
    NO_CREDENTIALS,
    Refusal,
    code_of,
    explained,
    refusal_of,
    status_of,
)
from retrofill.engine.backoff import backoff_s
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.sources.kind import Opening

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

MOST_FILES = 100_000
"""The maximum number of files of one run: their names are stored with its partitions."""

_CHUNK_BYTES = 1 << 18
_TRIES = 4
_SCHEME = "s3://"
_KEEPABLE = re.compile("[^\\0\ud800-\udfff]*")
_GLOB = re.compile(r"[*?\[]")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class File(NamedTuple):
    """A file as it was when the run was divided."""

    path: str
    """Its address: ``s3://bucket/key``, or an absolute path."""

    size: int
    """In bytes, as it is stored."""

    tag: str
    """A value that changes whenever the file does."""


class Location(NamedTuple):
    """Where files are: those whose path starts with a prefix and matches a pattern."""

    bucket: str
    """The bucket of their keys; empty: they are on a disk."""

    prefix: str
    """The prefix of their key or absolute path, or all of it if there is no pattern."""

    pattern: str | None
    """A pattern for the whole key or path, * for anything; None: there is one file."""

    param: str = "files"
    """The param that names the location, for messages."""

    @property
    def home(self) -> str:
        """The bucket's address; empty for files on a disk."""
        return f"{_SCHEME}{self.bucket}" if self.bucket else ""

    @property
    def dataset(self) -> tuple[str, str]:
        """Namespace and name for lineage."""
        return self.home or "file", self.pattern or self.prefix


class Files(Protocol):
    """Access to the files of a run."""

    @property
    def location(self) -> Location:
        """Where they are."""

    def find(self) -> list[File]:
        """Return the files in the order of their paths.

        :raises ConfigError: there are none, or they cannot be read as given
        :raises SourceError: there was no response; a retry may succeed
        """

    def read(self, file: File, at: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from an offset, in chunks.

        :raises SourceError: it cannot be read now, or has changed
        """


def parse_location(text: str, param: str = "files") -> Location:
    """Return the location that a text names.

    :param text: ``s3://bucket/key`` or an absolute path, of one file; with a slash at the end, of
        all files below; with *, ? or [ab], of all that match
    :raises ValueError: it is neither
    """
    bucket, path = "", text
    if text.startswith(_SCHEME):
        bucket, _, path = text.removeprefix(_SCHEME).partition("/")
        if not bucket or not (path or text.endswith("/")):
            raise ValueError("it names no key after the bucket; end it with a slash for all files")
    elif not text.startswith("/"):
        raise ValueError("it begins neither with s3:// nor with a slash")
    elif ".." in path.split("/"):
        raise ValueError("it contains .., which is not followed")
    wild = _GLOB.search(path)
    if wild:
        return Location(bucket, path[: wild.start()], path, param)
    return Location(bucket, path, f"{path}*" if text.endswith("/") else None, param)


def _changed(file: File) -> UnfitSource:
    return UnfitSource(
        f"file {file.path}: it has changed since the run was divided. Rows read so far stay; start"
        " a new run of the job to read the new file"
    )


def _found(location: Location, files: list[File]) -> list[File]:
    """Return files in order.

    :raises ConfigError: there are none, too many, or one has a name that cannot be stored
    """
    shown = f"{location.home}{'/' if location.bucket else ''}{location.pattern or location.prefix}"
    if not files:
        raise ConfigError(f"{location.param}: there is no file {shown}")
    if len(files) > MOST_FILES:
        raise ConfigError(
            f"{location.param}: {shown} matches more than {MOST_FILES:,} files; narrow the pattern"
        )
    for file in files:
        if not _KEEPABLE.fullmatch(file.path):
            raise ConfigError(
                f"{location.param}: the name {file.path!r} cannot be stored, as it contains the"
                " character NUL or is not UTF-8; rename the file"
            )
    return sorted(files)


class S3Files:
    """Files that are objects of a bucket.

    :param client: used by one thread at a time
    :param wait: called with the seconds to wait before a request is repeated
    """

    def __init__(
        self, client: "S3Client", location: Location, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self.location = location
        self._client = client
        self._wait = wait

    def find(self) -> list[File]:
        """List the objects under the prefix, or look up the one that is named."""
        bucket, prefix, pattern, _ = self.location
        with explained(self._refused, self._unanswered):
            if pattern is None:
                head = self._client.head_object(Bucket=bucket, Key=prefix)
                one = File(f"{_SCHEME}{bucket}/{prefix}", head["ContentLength"], head["ETag"])
                return _found(self.location, [one])
            matches = re.compile(translate(pattern)).match
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            found: list[File] = []
            for page in pages:
                found += [
                    File(f"{_SCHEME}{bucket}/{entry['Key']}", entry["Size"], entry["ETag"])
                    for entry in page.get("Contents", [])
                    if matches(entry["Key"]) and not entry["Key"].endswith("/")
                ]
                if len(found) > MOST_FILES:
                    break
        return _found(self.location, found)

    def read(self, file: File, at: int = 0) -> Iterator[bytes]:
        """Read an object by its ETag; request the rest of an interrupted body again."""
        key = file.path.removeprefix(f"{_SCHEME}{self.location.bucket}/")
        tries = 0
        while at < file.size:
            try:
                answer = self._client.get_object(
                    Bucket=self.location.bucket, Key=key, Range=f"bytes={at}-", IfMatch=file.tag
                )
                with closing(answer["Body"]) as body:
                    while chunk := body.read(_CHUNK_BYTES):
                        at += len(chunk)
                        tries = 0
                        yield chunk
            except ClientError as error:
                self._require_transient(file, error)
                tries = self._again(file, tries, error)
            except NO_CREDENTIALS as error:
                raise SourceError(f"file {file.path}: there are no AWS credentials") from error
            except BotoCoreError as error:
                tries = self._again(file, tries, error)

    def _again(self, file: File, tries: int, error: Exception) -> int:
        """Wait before the next try; return the number of tries.

        :raises SourceError: there were enough
        """
        if tries + 1 >= _TRIES:
            raise SourceError(f"file {file.path} could not be read: {error}") from error
        self._wait(backoff_s(tries + 1, random.random(), None))  # noqa: S311  no secret
        return tries + 1

    @staticmethod
    def _require_transient(file: File, error: ClientError) -> None:
        status = status_of(error)
        gone = code_of(error) in _MISSING or status == HTTPStatus.NOT_FOUND
        short = status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if status == HTTPStatus.PRECONDITION_FAILED or short or gone:
            raise _changed(file) from error
        if refusal_of(error) is not Refusal.TRANSIENT:
            raise SourceError(f"file {file.path} could not be read: {error}") from error

    def _unanswered(self, error: Exception) -> SourceError:
        return SourceError(f"files in {self.location.bucket!r} could not be found: {error}")

    def _refused(self, error: ClientError | ParamValidationError, _: Refusal) -> ConfigError:
        bucket, key, pattern, param = self.location
        if isinstance(error, ParamValidationError):
            return ConfigError(f"{param}: {bucket!r} cannot be read ({error})")
        code = code_of(error)
        if code == "NoSuchBucket":
            return ConfigError(f"{param}: there is no bucket {bucket!r}")
        if code in _MISSING:
            return ConfigError(f"{param}: there is no file s3://{bucket}/{key}")
        needed = (
            f"s3:GetObject on arn:aws:s3:::{bucket}/{key}"
            if pattern is None
            else f"s3:ListBucket on arn:aws:s3:::{bucket}"
        )
        return ConfigError(
            f"{param}: the files in {bucket!r} cannot be found ({error}); the credentials of"
            f" aws_conn_id need {needed}; {HINT}"
        )


class LocalFiles:
    """Files below a directory of this machine that its operator permits to read.

    :param root: the directory; a link that leads out of it is not followed
    """

    def __init__(self, root: Path, location: Location) -> None:
        self.location = location
        self._root = root.resolve()

    def find(self) -> list[File]:
        """Walk the directories that the pattern begins with."""
        _, prefix, pattern, param = self.location
        # For /data/2025-* and for /data/, the walk begins in /data.
        first = Path(prefix if pattern is None else prefix.rpartition("/")[0] or "/")
        if not self._allows(first):
            raise ConfigError(f"{param}: {first} is not in {self._root}; give a path in it")
        try:
            if pattern is None:
                paths = [first] if first.is_file() else []
            else:
                matches = re.compile(translate(pattern)).match
                paths = [path for path in self._walk(first) if matches(str(path))]
            found = [_as_it_is(str(path), path.stat()) for path in paths if self._is_read(path)]
        except OSError as error:
            raise ConfigError(f"{param}: the files cannot be read ({error})") from error
        return _found(self.location, found)

    def read(self, file: File, at: int = 0) -> Iterator[bytes]:
        """Read a file; its size and modification time are compared before each chunk is yielded."""
        if not self._allows(Path(file.path)):
            raise _changed(file)
        try:
            with Path(file.path).open("rb") as opened:
                opened.seek(at)
                while True:
                    chunk = opened.read(_CHUNK_BYTES)
                    if _as_it_is(file.path, os.fstat(opened.fileno())) != file:
                        raise _changed(file)
                    if not chunk:
                        return
                    yield chunk
        except FileNotFoundError as error:
            raise _changed(file) from error
        except OSError as error:
            raise SourceError(f"file {file.path} could not be read: {error}") from error

    @staticmethod
    def _walk(first: Path) -> Iterator[Path]:
        """Yield everything that is not a directory; links to directories are not followed.

        :raises OSError: a directory cannot be read
        """

        def refuse(error: OSError) -> None:
            raise error

        for folder, folders, names in os.walk(first, onerror=refuse):
            for path in filter(Path.is_symlink, (Path(folder, name) for name in folders)):
                log.warning("not read: %s is a link to a directory", path)
            yield from (Path(folder, name) for name in names)

    def _is_read(self, path: Path) -> bool:
        if path.is_file() and self._allows(path):
            return True
        log.warning("not read: %s is not a regular file within %s", path, self._root)
        return False

    def _allows(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)


def _as_it_is(path: str, status: os.stat_result) -> File:
    if not stat.S_ISREG(status.st_mode):
        raise UnfitSource(f"file {path}: it is not a regular file")
    return File(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


ROOT = "RETROFILL_FILES"
"""The variable that names the directory below which files of this machine may be read."""


def open_files(location: Location, opening: Opening, *, requester_pays: bool) -> Files:
    """Return the files at a location, without reading any yet.

    :param requester_pays: whether to accept the bucket's charges
    :raises ConfigError: they are on this machine, where no directory may be read
    """
    if location.bucket:
        client = opening.connections.aws(opening.aws_conn_id).client("s3")
        return S3Files(paying(client, pays=requester_pays), location)
    root = os.environ.get(ROOT, "")
    if not os.path.isabs(root):  # noqa: PTH117  an empty text is not a path
        raise ConfigError(
            f"{location.param}: {location.prefix} is on the worker's disk, but {ROOT} in its"
            " environment names no directory that may be read; set it to an absolute path"
        )
    return LocalFiles(Path(root), location)
