"""The S3 API, path-style: ListObjectsV2 as boto3 requests it, and an empty notification setting.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and neighbouring
pages.
"""

import asyncio
import base64
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qsl, unquote
from xml.sax.saxutils import escape

from stack.endpoint.aws_errors import S3_ERRORS
from stack.endpoint.connection import Connection, response
from stack.endpoint.counts import Counts
from stack.endpoint.listing import Objects, element, objects_of, page_of, spell
from stack.endpoint.rulebook import Rulebook
from stack.endpoint.script import REGION, USUAL, Operation, Reply, Script

MAX_KEYS = 1_000
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class S3RefusalError(Exception):
    """A request that gets an error of the S3 API."""

    def __init__(self, error: str, message: str | None = None) -> None:
        super().__init__(message or f"Scripted {error}")
        self.error = error


class S3Api:
    """Answers the requests to the S3 API according to a script."""

    def __init__(
        self, script: Script, rulebook: Rulebook, counts: Counts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._list_latency = script.list_latency
        self._rulebook = rulebook
        self._counts = counts
        self._loop = loop
        self._buckets = {bucket.name: objects_of(bucket) for bucket in script.buckets}
        self._request_number = 0

    def answer(self, connection: Connection, method: str, target: SplitResult) -> None:
        """Answer a request."""
        bucket = unquote(target.path).strip("/")
        # Latin-1 keeps every byte of a key; see _key_bytes.
        query = dict(parse_qsl(target.query, keep_blank_values=True, encoding="latin-1"))
        operation = "not_implemented"
        if method == "GET" and "notification" in query:
            operation = "get_notification"
        elif method == "GET" and query.get("list-type") == "2":
            operation = Operation.LIST_OBJECTS
        self._counts.request(operation)
        reply, delay = USUAL, 0.0
        if operation == Operation.LIST_OBJECTS:
            if taken := self._rulebook.take(Operation.LIST_OBJECTS, bucket):
                reply = taken.rule.reply
            delay = reply.delay + (self._list_latency if reply.executes else 0)
        self._loop.call_later(delay, self._end, connection, operation, bucket, query, reply)

    def _end(
        self,
        connection: Connection,
        operation: str,
        bucket: str,
        query: dict[str, str],
        reply: Reply,
    ) -> None:
        self._request_number += 1
        request_id = f"{self._request_number:016X}"
        status: int = HTTPStatus.OK
        try:
            text = self._text(operation, bucket, query, reply)
        except S3RefusalError as refusal:
            status = S3_ERRORS.get(refusal.error, HTTPStatus.BAD_REQUEST)
            text = (
                f"{_XML}<Error><Code>{escape(refusal.error)}</Code><Message>{escape(str(refusal))}"
                f"</Message><BucketName>{escape(bucket)}</BucketName>"
                f"<RequestId>{request_id}</RequestId><HostId>c2NyaXB0ZWQ=</HostId></Error>"
            )
        headers = {
            "Content-Type": "application/xml",
            "x-amz-bucket-region": REGION,
            "x-amz-request-id": request_id,
            **reply.headers,
        }
        connection.deliver(reply, *response(reply.status or status, headers, text.encode()))

    def _text(self, operation: str, bucket: str, query: dict[str, str], reply: Reply) -> str:
        """Return the body of a successful response.

        :raises S3RefusalError: the script or this endpoint refuses the request
        """
        if reply.error is not None:
            raise S3RefusalError(reply.error, reply.message)
        if reply.body is not None:
            return reply.body
        if operation == "not_implemented":
            raise S3RefusalError("NotImplemented")
        if bucket not in self._buckets:
            raise S3RefusalError("NoSuchBucket")
        if operation == "get_notification":
            return f"{_XML}<NotificationConfiguration {_NAMESPACE}/>"
        return _list_text(bucket, self._buckets[bucket], query)


def _list_text(bucket: str, objects: Objects, query: dict[str, str]) -> str:
    """Return a page of a listing.

    :raises S3RefusalError: S3 or this endpoint refuses the query
    """
    if query.get("encoding-type") != "url" or "delimiter" in query:
        raise S3RefusalError("NotImplemented")
    prefix, start_after = _key_bytes(query, "prefix"), _key_bytes(query, "start-after")
    token = query.get("continuation-token", "")
    try:
        max_keys = int(query.get("max-keys", MAX_KEYS))
        # A token is the last key of a page: like S3's, it outlives that object.
        after = base64.b64decode(token, altchars=b"-_", validate=True) or start_after
    except ValueError as error:
        raise S3RefusalError("InvalidArgument") from error
    indexes, more = page_of(objects, prefix, after, min(max_keys, MAX_KEYS))
    lines = [
        f"<Name>{bucket}</Name><Prefix>{spell(prefix)}</Prefix><MaxKeys>{max_keys}</MaxKeys>",
        f"<KeyCount>{len(indexes)}</KeyCount><EncodingType>url</EncodingType>",
    ]
    if start_after:
        lines.append(f"<StartAfter>{spell(start_after)}</StartAfter>")
    if token:
        lines.append(f"<ContinuationToken>{token}</ContinuationToken>")
    if more:
        following = base64.urlsafe_b64encode(objects[indexes[-1]].key).decode()
        lines.append(f"<NextContinuationToken>{following}</NextContinuationToken>")
    lines.append(f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>")
    lines += [element(objects[index]) for index in indexes]
    return f"{_XML}<ListBucketResult {_NAMESPACE}>{''.join(lines)}</ListBucketResult>"


def _key_bytes(query: dict[str, str], name: str) -> bytes:
    return query.get(name, "").encode("latin-1")
