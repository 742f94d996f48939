"""Rows of an S3 listing: one request, and the shortest path from its XML to values.

botocore turns a page of 1,000 objects into dictionaries ten times as slowly as this module reads
it. So its client sends and signs the request, and leaves the response's body to us.
"""

import re
import threading
from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

from retrofill.aws.objects import is_archived, out_of_reach, require_storable
from retrofill.model.errors import SourceError, UnfitSource

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Under this name the handler comes before botocore's own, which parses the whole body to see
# whether it is an error. After it, the result would be the same, but slower.
_EVENT = "before-parse.*.*"
_OK = 200
_FIELD = "RetrofillRows"
_EMPTY_LISTING = b"<Listing/>"
_NO_VERSION = "null"
_HEAD_BYTES = 256
_ESCAPED = "surrogateescape"
_NO_TEXT = re.compile("[\udc80-\udcff]")
"""The escapes of such bytes."""

_LISTINGS = ("ListBucketResult", "ListVersionsResult")

_asked = threading.local()
_key = attrgetter("key")


class Row(NamedTuple):
    """One object of a listing."""

    key: str
    size: int
    modified_at: datetime
    etag: str
    left_out: str
    """Why it cannot be read, as in :data:`retrofill.aws.objects.LEFT_OUT`; empty: it can."""

    version_id: str


class Rows(NamedTuple):
    """The response to one listing request."""

    rows: list[Row]
    """The objects in the order of their keys, only the latest version of each."""

    keys: list[str]
    """All keys of the response in order, of objects and of deleted ones."""

    rejected: list[bytes]
    """The keys of objects that cannot be read: they are not UTF-8, or their facts make no sense."""

    more: bool
    """Whether there are keys after it."""

    region: str
    """The bucket's region; empty if it is not in the response."""

    @property
    def last_key(self) -> str:
        """The last key of the response; empty if there is none."""
        return self.keys[-1] if self.keys else ""


class RowReader:
    """Lists the keys of one bucket after a given one.

    Formats: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html.

    :param client: its other users are not affected
    :param versions: whether to ask for version ids; needs s3:ListBucketVersions
    """

    def __init__(self, client: "S3Client", bucket: str, prefix: str, *, versions: bool) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._versions = versions
        client.meta.events.register(_EVENT, _take_body, unique_id="retrofill-rows")

    def after(self, key: str, limit: int) -> Rows:
        """Return the first rows after a key; an empty key is before all others.

        Some servers repeat the key itself, or earlier ones: those rows are left out.

        :param limit: from 1 to 1,000
        :raises SourceError: the response is not a listing in the order of keys
        :raises botocore.exceptions.ClientError: S3 refused
        :raises botocore.exceptions.BotoCoreError: there was no response
        """
        asked: dict[str, Any] = {
            "Bucket": self._bucket,
            "Prefix": self._prefix,
            "MaxKeys": limit,
            "EncodingType": "url",
            "OptionalObjectAttributes": ["RestoreStatus"],
        }
        if key:
            # Never a continuation token: those expire, while a key can wait in the state.
            asked["KeyMarker" if self._versions else "StartAfter"] = key
        _asked.prefix = self._prefix
        try:
            answer: Mapping[str, Any] = (
                self._client.list_object_versions(**asked)
                if self._versions
                else self._client.list_objects_v2(**asked)
            )
        finally:
            _asked.prefix = None
        headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
        rows: Rows = answer[_FIELD]
        if rows.more and rows.last_key <= key:
            raise SourceError(f"the listing of bucket {self._bucket!r} does not get past {key!r}")
        return rows._replace(
            rows=rows.rows[bisect_right(rows.rows, key, key=_key) :],
            keys=rows.keys[bisect_right(rows.keys, key) :],
            rejected=[one for one in rows.rejected if one > key.encode()],
            region=headers.get("x-amz-bucket-region", ""),
        )


def _take_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Read the body of a reader's listing before botocore does.

    S3 may answer 200 and then fail; botocore retries after such a response.
    """
    prefix = getattr(_asked, "prefix", None)
    if prefix is None or response_dict["status_code"] != _OK:
        return
    body: bytes = response_dict["body"]
    if b"<Error>" not in body[:_HEAD_BYTES]:
        customized_response_dict[_FIELD] = read_rows(body, prefix)
        response_dict["body"] = _EMPTY_LISTING


_TRUTH = {"true": True, "false": False}
"""The values of IsTruncated, which every listing must have."""


def read_rows(body: bytes, prefix: str = "") -> Rows:
    """Read the XML of a listing.

    An object that cannot be read is rejected, unless it follows all keys of a response that has
    more: then the next response begins with it.

    :raises SourceError: it is not the XML of a listing in the order of keys
    :raises UnfitSource: it has a key without the requested prefix
    """
    try:
        root = ET.fromstring(body)  # noqa: S314  botocore would trust the same answer as much
        space = root.tag[: root.tag.rfind("}") + 1]
        if root.tag.removeprefix(space) not in _LISTINGS:
            raise ValueError(root.tag)  # noqa: TRY301  one message for everything that is wrong
        more = _TRUTH[root.findtext(f"{space}IsTruncated", "")]
        encoded = root.findtext(f"{space}EncodingType") == "url"
        rows, keys, rejected = _entries(root, space, prefix, encoded=encoded)
    except (ET.ParseError, KeyError, ValueError, TypeError) as error:
        raise SourceError(f"S3 answered with something that is not a listing: {error!r}") from error
    ordered = [row.key for row in rows]
    if ordered != sorted(ordered):
        raise SourceError("S3 listed keys out of order, so the last one is unknown")
    keys = sorted(dict.fromkeys(keys))
    if more:
        last = keys[-1].encode() if keys else b""
        rejected = [key for key in rejected if key <= last]
    return Rows(rows, keys, rejected, more, region="")


def _entries(
    root: ET.Element, space: str, prefix: str, *, encoded: bool
) -> tuple[list[Row], list[str], list[bytes]]:
    """Return the objects that can be read today, the key of each entry, and rejected keys.

    :raises ValueError: there are objects, but none has readable facts
    :raises UnfitSource: a key does not begin with the prefix
    """
    tag_key, tag_size, tag_modified = space + "Key", space + "Size", space + "LastModified"
    tag_etag, tag_class = space + "ETag", space + "StorageClass"
    tag_version, tag_latest = space + "VersionId", space + "IsLatest"
    tags = {space + "Contents", space + "Version"}
    deleted = space + "DeleteMarker"
    restoring = f"{space}RestoreStatus/{space}IsRestoreInProgress"
    modified_at = datetime.fromisoformat
    rows: list[Row] = []
    keys: list[str] = []
    rejected: list[bytes] = []
    wrong: Exception | None = None
    for entry in root:
        if entry.tag not in tags and entry.tag != deleted:
            continue
        fields = {field.tag: field.text or "" for field in entry}
        written = fields[tag_key]
        key = _decoded(written) if encoded else written
        if not key.startswith(prefix):
            raise _other_key(prefix, written, encoded=encoded)
        is_object = entry.tag != deleted and fields.get(tag_latest) != "false"
        if not key.isascii() and _NO_TEXT.search(key):
            rejected += [key.encode(errors=_ESCAPED)] * is_object
            continue
        keys.append(key)
        if not is_object:
            continue
        version, kept = fields.get(tag_version, ""), fields.get(tag_class, "")
        try:
            moment, etag = modified_at(fields[tag_modified]), fields.get(tag_etag, "").strip('"')
            require_storable(moment, etag, version)
            row = Row(
                key,
                int(fields[tag_size]),
                moment,
                etag,
                out_of_reach(kept, entry.findtext(restoring, "")) if is_archived(kept) else "",
                "" if version == _NO_VERSION else version,
            )
        except (KeyError, ValueError) as error:
            wrong = error
            rejected.append(key.encode())
        else:
            rows.append(row)
    if wrong and not rows:
        raise ValueError(wrong)
    return rows, keys, rejected


def _decoded(key: str) -> str:
    """Return a key as it is; bytes that are not UTF-8 become surrogates, which no text has."""
    if "%" not in key and "+" not in key:
        return key
    return unquote_to_bytes(key.replace("+", " ")).decode(errors=_ESCAPED)


def _other_key(prefix: str, written: str, *, encoded: bool) -> UnfitSource:
    """Return an error for a listing with a key that was not asked for."""
    states, reading = ("states", "URL-decoded") if encoded else ("does not state", "unchanged")
    return UnfitSource(
        f"prefix: asked for keys that begin with {prefix!r}, the server lists {written!r}. The"
        f" listing {states} that its keys are URL-encoded, so this one is read {reading}; the two"
        f" readings are {written!r} and {_decoded(written)!r}. If neither begins with the"
        " prefix, the server ignores the prefix; if the other one does, the server encodes keys"
        " differently than it states. Its keys are ambiguous, so it is not read"
    )
