"""The objects that a manifest names, with facts from the manifest or, if it lacks them, from S3."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from retrofill.aws.objects import is_archived, out_of_reach
from retrofill.aws.payer import HINT
from retrofill.aws.refusals import status_of
from retrofill.model.errors import SourceError
from retrofill.model.items import LONGEST_KEY_BYTES
from retrofill.sources.manifest.layout import Layout, Writing
from retrofill.sources.scanners.scanner import Row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HEADS_AT_ONCE = 16
"""How many objects are looked up at the same time."""

NO_VERSION = "null"
"""The version id of an object that was written while its bucket had no versioning."""

_SURROGATE = re.compile("[\ud800-\udfff]")
# S3 answers METHOD_NOT_ALLOWED for a delete marker.
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


class Named(NamedTuple):
    """An object as a manifest names it."""

    bucket: str
    """Empty: not in the manifest."""

    key: str
    size: int | None
    modified_at: datetime | None
    etag: str
    version_id: str
    """NO_VERSION: it has none; empty: not in the manifest."""

    storage_class: str
    left_out: str
    """Why no function can read it, as in :data:`retrofill.aws.objects.LEFT_OUT`; or empty."""

    skipped: str
    """The reason to leave it out, because it is not an object to process; empty if it is one."""

    @property
    def facts_missing(self) -> bool:
        """Whether S3 must be asked about it: an archived object may have a restored copy."""
        missing = self.size is None or self.modified_at is None or not self.etag
        return missing or is_archived(self.storage_class)


def reader(
    layout: Layout,
    picker: Callable[[Sequence[str]], Callable[[Row], Sequence[str | None]]],
    writing: Writing,
    status: str | None,
) -> Callable[[Row], Named]:
    """Return the function that reads a row of a manifest.

    The function raises ValueError for a row that names no object.

    :param picker: makes the function that picks columns
    :param status: only tasks that ended this way; None: all
    """
    roles = list(layout.columns)
    pick = picker(list(layout.columns.values()))

    def read(row: Row) -> Named:
        values = dict(zip(roles, pick(row), strict=True))
        key = writing.read(values["key"] or "")
        if not key:
            raise ValueError("it has no key")
        size, modified = values.get("size") or "", values.get("modified_at") or ""
        _require_text(key, values)
        return Named(
            values.get("bucket") or "",
            key,
            _size(size) if size else None,
            _moment(modified) if modified else None,
            (values.get("etag") or "").strip('"'),
            values.get("version_id") or "",
            values.get("storage_class") or "",
            "",
            _skipped(values, status),
        )

    return read


def _skipped(values: Mapping[str, str | None], status: str | None) -> str:
    if (values.get("is_delete_marker") or "").lower() == "true":
        return "delete_marker"
    if (values.get("is_latest") or "").lower() == "false":
        return "noncurrent"
    if status is not None and values.get("status") not in {status, None}:
        return "filtered"
    return ""


def _require_text(key: str, values: Mapping[str, str | None]) -> None:
    """Check that S3 may have an object with this key, ETag and version.

    :raises ValueError: it cannot
    """
    if (length := len(key.encode("utf-8", "surrogatepass"))) > LONGEST_KEY_BYTES:
        raise ValueError(f"its key has {length:,} bytes, more than {LONGEST_KEY_BYTES:,}")
    facts = f"{values.get('etag')}{values.get('version_id')}"
    if not facts.isprintable() or _SURROGATE.search(key):
        raise ValueError("it contains characters that no key, ETag or version has")


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"its size is {text[:40]!r}, which is not a number of bytes")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"its time is {text[:40]!r}, which is not a time such as 2026-01-02T03:04:05Z"
        ) from None


def look_up(
    client: "S3Client", bucket: str, named: Sequence[Named], *, versions: bool
) -> list[Named | None]:
    """Look up objects in S3; None: there is no such object now.

    :param versions: whether to look up the version that the manifest names, if any
    :raises SourceError: S3 did not answer, or refused
    """

    def head(one: Named) -> Named | None:
        more: dict[str, Any] = {"VersionId": one.version_id} if versions and one.version_id else {}
        try:
            found = client.head_object(Bucket=bucket, Key=one.key, **more)
        except ClientError as error:
            if status_of(error) in _GONE:
                return None
            raise SourceError(
                f"object {one.key!r} of bucket {bucket!r} could not be looked up ({error}); this"
                f" needs s3:GetObject on it, and s3:ListBucket on the bucket; {HINT}"
            ) from error
        except BotoCoreError as error:
            raise SourceError(f"object {one.key!r} could not be looked up: {error}") from error
        return one._replace(
            size=found["ContentLength"],
            modified_at=found["LastModified"],
            etag=found["ETag"].strip('"'),
            version_id=found.get("VersionId", one.version_id or NO_VERSION),
            left_out=out_of_reach(found.get("StorageClass", ""), found.get("Restore", "")),
        )

    with ThreadPoolExecutor(HEADS_AT_ONCE, "retrofill-looking-up") as threads:
        return list(threads.map(head, named))
