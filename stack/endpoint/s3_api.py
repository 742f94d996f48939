"""The S3 API, path-style: HeadBucket, GetBucketLocation, ListObjectsV2 and its older sister.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and the pages
beside it.
"""

import asyncio
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from stack.endpoint.aws_errors import S3_ERRORS, S3Error
from stack.endpoint.buckets import Bucket
from stack.endpoint.connection import Connection, response
from stack.endpoint.counts import Counts
from stack.endpoint.delivery import deliver
from stack.endpoint.listing import (
    MAX_KEYS,
    InvalidTokenError,
    Objects,
    index_after_key,
    index_of_token,
    objects_of,
    page_of,
    spell,
)
from stack.endpoint.rulebook import Rulebook
from stack.endpoint.script import Operation, Reply, Script, Wire

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_EMPTY_SETTINGS = {
    "notification": "NotificationConfiguration",
    "versioning": "VersioningConfiguration",
}
_USUAL = Reply()


class S3RefusalError(Exception):
    """A request that gets an error of the S3 API by itself, without a rule."""

    def __init__(self, error: str, message: str | None = None) -> None:
        super().__init__(message or error)
        self.reply = Reply(error=error, message=message)


class _Request(NamedTuple):
    operation: str
    bucket: str
    query: dict[str, str]
    has_body: bool
    """Whether the answer may have a body: not if the request is a HEAD."""


class S3Api:
    """Answers the requests to the S3 API as a script tells it."""

    def __init__(
        self, script: Script, rulebook: Rulebook, counts: Counts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._region = script.region
        self._list_latency = script.list_latency
        self._rulebook = rulebook
        self._counts = counts
        self._loop = loop
        self._buckets = {bucket.name: (bucket, objects_of(bucket)) for bucket in script.buckets}
        self._request_number = 0

    def answer(self, connection: Connection, method: str, path: str, query: str) -> None:
        """Answer a request."""
        request = _read(method, path, query)
        self._counts.requests += 1
        self._counts.by_operation[request.operation] += 1
        taken = None
        if isinstance(request.operation, Operation):
            taken = self._rulebook.take(request.operation, request.bucket)
        reply = _USUAL if taken is None else taken.rule.reply
        delay = reply.delay
        if request.operation == Operation.LIST_OBJECTS and reply.executes:
            delay += self._list_latency
        if delay:
            self._loop.call_later(delay, self._end, connection, request, reply)
        else:
            self._end(connection, request, reply)

    def _end(self, connection: Connection, request: _Request, reply: Reply) -> None:
        headers = {"Content-Type": "application/xml"}
        status: int = HTTPStatus.OK
        name = ""
        try:
            if reply.error is not None:
                status, name, text = self._error(request, reply, headers)
            elif reply.body is not None:
                text = reply.body
            else:
                text = self._good_text(request, headers)
            status = reply.status or status
        except S3RefusalError as refusal:
            status, name, text = self._error(request, refusal.reply, headers)
        self._request_number += 1
        headers["x-amz-request-id"] = f"{self._request_number:016X}"
        headers["x-amz-id-2"] = "c2NyaXB0ZWQ="
        headers.update(reply.headers)
        outcome = f"{status} {name}".rstrip() if reply.wire is Wire.WHOLE else reply.wire.value
        self._counts.by_outcome[f"{request.operation} {outcome}"] += 1
        head, body = response(status, headers, text.encode(), bodiless=not request.has_body)
        deliver(connection, reply, head, body, _nothing)

    def _good_text(self, request: _Request, headers: dict[str, str]) -> str:
        """Return the body of a good answer; put its own headers to the others.

        :raises S3RefusalError: if there is none
        """
        if request.bucket not in self._buckets:
            if request.operation == "not_implemented":
                raise S3RefusalError("NotImplemented")
            raise S3RefusalError("NoSuchBucket")
        bucket, objects = self._buckets[request.bucket]
        region = bucket.region or self._region
        headers["x-amz-bucket-region"] = region
        if region != self._region and request.operation != Operation.GET_LOCATION:
            raise S3RefusalError("PermanentRedirect")
        match request.operation:
            case Operation.HEAD_BUCKET:
                return ""
            case Operation.LIST_OBJECTS:
                return _list_text(bucket, objects, request.query)
            case Operation.GET_LOCATION:
                place = "" if region == "us-east-1" else region
                return f"{_XML}<LocationConstraint {_NAMESPACE}>{place}</LocationConstraint>"
            case "get_settings":
                name = next(name for key, name in _EMPTY_SETTINGS.items() if key in request.query)
                return f"{_XML}<{name} {_NAMESPACE}/>"
            case _:
                raise S3RefusalError("NotImplemented")

    def _error(
        self, request: _Request, reply: Reply, headers: dict[str, str]
    ) -> tuple[int, str, str]:
        """Return the status, the name and the body of an error; put its headers to the others."""
        name = reply.error or ""
        known = S3_ERRORS.get(name, S3Error(reply.status or HTTPStatus.BAD_REQUEST, name))
        known_bucket = self._buckets.get(request.bucket)
        if known_bucket is not None:
            headers["x-amz-bucket-region"] = known_bucket[0].region or self._region
        more = ""
        if name == "PermanentRedirect":
            region = headers.get("x-amz-bucket-region", self._region)
            more = f"<Endpoint>{request.bucket}.s3.{region}.amazonaws.com</Endpoint>"
        message = escape(reply.message or known.message)
        text = (
            f"{_XML}<Error><Code>{escape(name)}</Code><Message>{message}</Message>{more}"
            f"<BucketName>{escape(request.bucket)}</BucketName><RequestId>"
            f"{self._request_number + 1:016X}</RequestId><HostId>c2NyaXB0ZWQ=</HostId></Error>"
        )
        if reply.retry_after_seconds is not None:
            headers["Retry-After"] = str(reply.retry_after_seconds)
        return reply.status or known.status, name, text


def _read(method: str, path: str, query: str) -> _Request:
    """Return what a request asks for."""
    bucket, _, key = path.removeprefix("/").partition("/")
    bucket = unquote(bucket)
    # Latin-1 keeps each byte of a key apart, whatever it is; see _key_bytes.
    fields = dict(parse_qsl(query, keep_blank_values=True, encoding="latin-1"))
    operation = "not_implemented"
    if bucket and not key:
        if method == "HEAD":
            operation = Operation.HEAD_BUCKET
        elif method == "GET" and "location" in fields:
            operation = Operation.GET_LOCATION
        elif method == "GET" and fields.keys() & _EMPTY_SETTINGS.keys():
            operation = "get_settings"
        elif method == "GET":
            operation = Operation.LIST_OBJECTS
    return _Request(operation, bucket, fields, method != "HEAD")


def _list_text(bucket: Bucket, objects: Objects, query: dict[str, str]) -> str:
    """Return a page of a listing.

    :raises S3RefusalError: for a query that S3 would refuse
    """
    newer = query.get("list-type") == "2"
    prefix, delimiter = _key_bytes(query, "prefix"), _key_bytes(query, "delimiter")
    after = _key_bytes(query, "start-after" if newer else "marker")
    token = query.get("continuation-token", "") if newer else ""
    encoding = query.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise S3RefusalError("InvalidArgument", "Invalid Encoding Method specified in Request")
    max_keys = query.get("max-keys", str(MAX_KEYS))
    if not max_keys.isdecimal():
        text = "Provided max-keys not an integer or within integer range"
        raise S3RefusalError("InvalidArgument", text)
    start = 0
    if token:
        try:
            start = index_of_token(objects, token)
        except InvalidTokenError as error:
            text = "The continuation token provided is incorrect"
            raise S3RefusalError("InvalidArgument", text) from error
    elif after:
        start = index_after_key(objects, prefix, delimiter, after)
    page = page_of(objects, prefix, delimiter, start, min(int(max_keys), MAX_KEYS))
    encoded = encoding == "url"

    def spelled(key: bytes) -> str:
        return spell(key.decode("utf-8", "replace"), encoded=encoded)

    head = [f"<Name>{bucket.name}</Name><Prefix>{spelled(prefix)}</Prefix>"]
    if newer:
        head.append(f"<KeyCount>{len(page.indexes) + len(page.common_prefixes)}</KeyCount>")
        head += [f"<StartAfter>{spelled(after)}</StartAfter>"] if after else []
        head += [f"<ContinuationToken>{escape(token)}</ContinuationToken>"] if token else []
        if page.next_token:
            head.append(f"<NextContinuationToken>{page.next_token}</NextContinuationToken>")
    else:
        head.append(f"<Marker>{spelled(after)}</Marker>")
        if page.next_token and delimiter:
            head.append(f"<NextMarker>{spelled(page.last_entry)}</NextMarker>")
    head.append(f"<MaxKeys>{int(max_keys)}</MaxKeys>")
    head += [f"<Delimiter>{spelled(delimiter)}</Delimiter>"] if delimiter else []
    head += ["<EncodingType>url</EncodingType>"] if encoded else []
    head.append(f"<IsTruncated>{'true' if page.next_token else 'false'}</IsTruncated>")
    elements = objects.elements(page.indexes, encoded=encoded)
    common = [
        f"<CommonPrefixes><Prefix>{spelled(one)}</Prefix></CommonPrefixes>"
        for one in page.common_prefixes
    ]
    inside = "".join([*head, *elements, *common])
    return f"{_XML}<ListBucketResult {_NAMESPACE}>{inside}</ListBucketResult>"


def _key_bytes(query: dict[str, str], name: str) -> bytes:
    return query.get(name, "").encode("latin-1")


def _nothing() -> None:
    """Do what is done after an answer that nobody waits for."""
