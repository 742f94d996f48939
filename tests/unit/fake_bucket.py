"""A bucket in memory behind a real S3 client: nothing leaves the process."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus, urlsplit
from xml.sax.saxutils import escape

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MODIFIED = "2026-01-02T03:04:05.000Z"


_ANSWER = "fake-bucket"
_spell = partial(quote_plus, safe="/", errors="surrogateescape")


@cache
def _client() -> "S3Client":
    session = boto3.Session(
        aws_access_key_id="a",
        aws_secret_access_key="s",  # noqa: S106
        region_name="eu-west-1",
    )
    retries: Any = {"total_max_attempts": 1}
    return session.client("s3", endpoint_url="http://s3.test", config=Config(retries=retries))


@dataclass(frozen=True)
class Listed:
    """An entry of a listing, with its fields as S3 writes them."""

    key: str
    size: int = 1
    modified: str = MODIFIED
    etag: str = '"e"'
    storage_class: str = "STANDARD"
    version: str = ""
    latest: str = "true"
    deleted: bool = False
    restoring: str = ""
    """Whether it is being restored, true or false; empty: nobody has asked for that."""

    def as_xml(self, spell: Callable[[str], str] = _spell) -> str:
        fields = {
            "Key": spell(self.key),
            "LastModified": self.modified,
            "ETag": escape(self.etag, {'"': "&quot;"}),
            "Size": str(self.size),
            "StorageClass": self.storage_class,
        }
        tag = "Contents"
        if self.version:
            tag = "DeleteMarker" if self.deleted else "Version"
            fields |= {"VersionId": self.version, "IsLatest": self.latest}
        if self.deleted:
            del fields["Size"]
        if self.restoring:
            fields["RestoreStatus"] = f"<IsRestoreInProgress>{self.restoring}</IsRestoreInProgress>"
        return f"<{tag}>{''.join(f'<{name}>{fields[name]}</{name}>' for name in fields)}</{tag}>"


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterable[bytes]:
        yield self._content


class FakeBucket:
    """A bucket whose objects may change between two requests."""

    def __init__(self, entries: Iterable[Listed], *, page: int = 1_000) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.key)
        self.page = page
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.error = ""
        self.headers: dict[str, str] = {}
        self.failure: Exception | None = None
        self.sent_headers: Mapping[str, str] = {}
        self.knows_prefix = True
        self.says_encoded = True
        self.spell: Callable[[str], str] = _spell
        self.knows_start_after = True
        self.repeats_start_after = False

    @classmethod
    def of(cls, keys: Iterable[str], *, page: int = 1_000) -> "FakeBucket":
        return cls(map(Listed, keys), page=page)

    def client(self) -> "S3Client":
        """Return a client for this bucket; earlier clients no longer reach one."""
        client = _client()
        client.meta.events.unregister("before-send.s3", unique_id=_ANSWER)
        client.meta.events.register("before-send.s3", self._answer, unique_id=_ANSWER)
        return client

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        if self.failure is not None:
            raise self.failure
        query = parse_qs(urlsplit(request.url).query, keep_blank_values=True)
        asked = {name: values[0] for name, values in query.items()}
        self.asked.append(asked)
        self.sent_headers = request.headers
        body = self.error or self._listing(asked)
        headers = {"Content-Type": "application/xml", **self.headers}
        return AWSResponse(request.url, self.status, headers, _Body(body.encode()))

    def _listing(self, asked: dict[str, str]) -> str:
        after = asked.get("start-after", asked.get("key-marker", ""))
        after = after if self.knows_start_after else ""
        prefix = asked["prefix"] if self.knows_prefix else ""
        bisect = bisect_left if self.repeats_start_after else bisect_right
        behind = bisect(self.entries, after, key=lambda entry: entry.key)
        found = [entry for entry in self.entries[behind:] if entry.key.startswith(prefix)]
        shown = found[: min(self.page, int(asked["max-keys"]))]
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{'<EncodingType>url</EncodingType>' if self.says_encoded else ''}"
            f"<IsTruncated>{'true' if len(shown) < len(found) else 'false'}</IsTruncated>"
            f"{''.join(entry.as_xml(self.spell) for entry in shown)}</ListBucketResult>"
        )
