"""S3 as a source: the objects of a bucket, under a prefix, in the order of their keys."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress
from operator import not_
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ParamValidationError

from retrofill.aws.objects import LATER_SHOWN, pack
from retrofill.aws.payer import HINT
from retrofill.aws.refusals import Refusal, code_of, explained
from retrofill.engine.identity import identifier_of
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.globs import matches
from retrofill.model.items import LONGEST_KEY_BYTES, Item
from retrofill.model.listing import Page, Partition
from retrofill.model.runs import Window
from retrofill.sources.s3.keyspace import KeyRange, Look, divide, sort_into
from retrofill.sources.s3.rows import Row, RowReader
from retrofill.sources.source import Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE_KEYS = 1_000
"""The maximum number of keys that S3 lists in one response."""

PEEK_KEYS = 100
"""The number of keys that one look into the key space asks for."""

_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
_LAST_SEEN = "last_seen"
_LABEL_CHARS = 30

_ELSEWHERE = frozenset(
    {
        "301",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
    }
)
_MISSING = frozenset({"404", "NoSuchBucket"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The objects of a bucket that a run wants."""

    window: Window
    """When they must have been modified."""

    key_glob: str | None = None
    """Patterns for the whole key, separated by bars; None: any key."""

    min_size: int | None = None
    """In bytes."""

    max_size: int | None = None
    """In bytes."""

    def select(self, rows: list[Row]) -> list[Row]:
        """Return the rows that the filter lets through."""
        after, before = self.window.after, self.window.before
        if self.key_glob is not None:
            wanted = matches(self.key_glob)
            rows = [row for row in rows if wanted(row.key)]
        if self.min_size is not None:
            rows = [row for row in rows if row.size >= self.min_size]
        if self.max_size is not None:
            rows = [row for row in rows if row.size <= self.max_size]
        if after is not None:
            rows = [row for row in rows if row.modified_at >= after]
        if before is not None:
            rows = [row for row in rows if row.modified_at < before]
        return rows


class S3Source(Source):
    """The objects of a bucket under a prefix; of a versioned bucket, the current ones.

    A key that ends in a slash is an object like any other: a live trigger fires for it too.

    :param client: used by one thread at a time
    :param prefix: the prefix of their keys; empty: every object of the bucket
    :param versions: whether to list version ids; without, no item has one
    :param passes: returns whether the live trigger would send an item; None: it sends all
    """

    def __init__(
        self,
        client: "S3Client",
        *,
        bucket: str,
        prefix: str,
        wanted: Filter,
        versions: bool,
        passes: Callable[[Item], bool] | None = None,
    ) -> None:
        self.name = f"s3://{bucket}"
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._wanted = wanted
        self._passes = passes
        self._rows = RowReader(client, bucket, prefix, versions=versions)
        self._permission = "s3:ListBucketVersions" if versions else "s3:ListBucket"
        window = wanted.window
        # A run for an interval may be the last to see an object. If it left out objects that S3's
        # clock dates after the run's opening, they would belong to no run.
        opened = None if window.start else window.opened
        self._bounds = (opened or _LAST_MOMENT, window.start or _FIRST_MOMENT)
        self._identifier = identifier_of(self.name)

    def check(self) -> bool:
        """List some keys: this request needs exactly the permissions of the run.

        HeadBucket would be refused if a policy allows only a prefix.

        :raises ConfigError: there is no such bucket, it may not be listed, or it is in another
            region than the client's
        :raises SourceError: there was no response; a retry may succeed
        """
        try:
            with self._explained():
                found = self._rows.after("", PEEK_KEYS)
        except UnfitSource as error:
            raise ConfigError(str(error)) from error
        here = self._client.meta.region_name
        if found.region and here not in {found.region, "aws-global"}:
            raise ConfigError(self._is_elsewhere(f"in region {found.region}"))
        # The survey does not see unreadable objects either, so they need not be seen here.
        return bool(found.rows)

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the keys into ranges; see :func:`retrofill.sources.s3.keyspace.divide`."""
        with self._explained():
            first = self._rows.after("", PAGE_KEYS)
            seen = {row.key for row in first.rows}

            def peek(after: str) -> Look:
                # The successor of a key of full length can be longer than a key may be.
                if len(after.encode()) > LONGEST_KEY_BYTES:
                    return Look([], more=False)
                found = self._rows.after(after, PEEK_KEYS)
                seen.update(row.key for row in found.rows)
                return Look(found.keys, found.more)

            ranges = divide(self._prefix, peek, limit) if first.more else [KeyRange("", None)]
        return [
            Partition(
                number,
                self._label(keys),
                {**keys._asdict(), _LAST_SEEN: max(seen_in_it, default=None)},
                len(seen_in_it),
            )
            for number, (keys, seen_in_it) in enumerate(
                zip(ranges, sort_into(ranges, seen), strict=True)
            )
        ]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Read a partition; while a page is processed, the next one is already requested.

        A cursor is a key as JSON, which can contain the NUL that a key may have.
        """
        last_key = json.loads(cursor) if cursor else ""
        after = max(partition.description.get("after") or "", last_key)
        end = partition.description.get("end")
        if end is not None and after >= end:
            return
        with ThreadPoolExecutor(1, "retrofill-listing") as ahead:
            pending = ahead.submit(self._read, after, partition)
            while True:
                page, next_after = pending.result()
                if next_after is not None:
                    pending = ahead.submit(self._read, next_after, partition)
                if page.seen:
                    yield page
                if next_after is None:
                    return

    def _read(self, after: str, partition: Partition) -> tuple[Page, str | None]:
        """Read one page after a key.

        :returns: the page, and the key after which the next one begins; None: it is the last
        :raises SourceError: the listing ends before the last key that the survey saw
        """
        end = partition.description.get("end")
        with self._explained():
            answer = self._rows.after(after, PAGE_KEYS)
        after, rows, rejected = max(after, answer.last_key), answer.rows, answer.rejected
        if not answer.more:
            self._require_seen(partition, after)
        ends = not answer.more or (end is not None and after >= end)
        if end is not None and after > end:
            rows = [row for row in rows if row.key <= end]
            after = end
        if end is not None:
            rejected = [key for key in rejected if key <= end.encode()]
        return self._page(rows, len(rejected), after), None if ends else after

    def _require_seen(self, partition: Partition, last_key: str) -> None:
        """Check that a listing which ends has reached the last key that the survey saw.

        An empty listing is left to the reader of the partition to judge.

        :raises SourceError: it has not
        """
        last_seen = partition.description.get(_LAST_SEEN) or ""
        if (partition.description.get("after") or "") < last_key < last_seen:
            raise SourceError(
                f"bucket {self._bucket!r}: its listing ends before {last_seen!r}, which the survey"
                " saw, so it is incomplete. If the objects were deleted in between, start a new run"
                " of the job: it surveys the bucket again and continues"
            )

    def _page(self, rows: list[Row], rejected: int, last_key: str) -> Page:
        selected, opened, start = self._wanted.select(rows), *self._bounds
        wanted, later = _apart(selected, [row.modified_at > opened for row in selected])
        readable, cold = _apart(wanted, [bool(row.left_out) for row in wanted])
        # Postgres cannot store a text with NUL.
        storable, unstorable = _apart(readable, ["\0" in row.key for row in readable])
        # Objects that the live trigger would not send are filtered, whatever their storage class.
        items, later_items = self._sent(storable), self._sent(later)
        left_out = Counter(later=len(later_items), rejected=len(self._sent(unstorable)))
        for reason in {row.left_out for row in cold}:
            left_out[reason] = len(self._sent([row for row in cold if row.left_out == reason]))
        left_out["filtered"] = len(rows) - len(items) - left_out.total()
        left_out["rejected"] += rejected
        early = [row for row in storable if row.modified_at < start]
        late = frozenset(item.identifier for item in self._sent(early))
        shown = later_items[:: len(later_items) // LATER_SHOWN + 1]
        return Page(items, json.dumps(last_key), +left_out, late, shown)

    def _sent(self, rows: list[Row]) -> list[Item]:
        """Return the items of the rows that the live trigger would send."""
        identifier = self._identifier
        # A namedtuple's own constructor takes three times as long as its base class's.
        make = tuple.__new__
        items = [
            make(
                Item,
                (identifier(key, version or etag), key, pack(size, modified_at, etag, version)),
            )
            for key, size, modified_at, etag, _, version in rows
        ]
        return items if self._passes is None else [item for item in items if self._passes(item)]

    def _label(self, keys: KeyRange) -> str:
        if keys == KeyRange("", None):
            return _shortened(f"{self.name}/{self._prefix}")
        first = _shortened(keys.after) if keys.after else "the first key"
        last = _shortened(keys.end) if keys.end else "the last key"
        return f"{first} to {last}"

    def _explained(self) -> AbstractContextManager[None]:
        """Translate botocore's errors for the user of the backfill."""
        return explained(
            self._refused,
            lambda error: SourceError(f"bucket {self._bucket!r} could not be listed: {error}"),
        )

    def _refused(self, error: ClientError | ParamValidationError, refusal: Refusal) -> ConfigError:
        code = code_of(error) if isinstance(error, ClientError) else ""
        if code in _MISSING:
            return ConfigError(f"bucket: there is no bucket {self._bucket!r}; check its name")
        if isinstance(error, ClientError) and code in _ELSEWHERE:
            return ConfigError(self._is_elsewhere(_region_in(error) or "in another region"))
        if refusal is Refusal.DENIED:
            return ConfigError(
                f"bucket: {self._bucket!r} may not be listed ({error}); the credentials of"
                f" aws_conn_id need {self._permission} on arn:aws:s3:::{self._bucket}, and the"
                f" bucket's own policy must not deny it; {HINT}"
            )
        return ConfigError(f"bucket: {self._bucket!r} cannot be listed ({error})")

    def _is_elsewhere(self, where: str) -> str:
        return (
            f"bucket: {self._bucket!r} is {where}, but the connection aws_conn_id is set to"
            f" {self._client.meta.region_name}; set the connection's region_name to the bucket's"
            " region, where the functions of its live triggers must be too"
        )


def _region_in(error: ClientError) -> str:
    """Return ``in region …`` if S3 reports the bucket's region; otherwise an empty text."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region")
    return f"in region {region}" if region else ""


def _apart(rows: list[Row], odd: list[bool]) -> tuple[list[Row], list[Row]]:
    """Return the rows that are not odd, and those that are, which are usually none."""
    if not any(odd):
        return rows, []
    return list(compress(rows, map(not_, odd))), list(compress(rows, odd))


def _shortened(text: str) -> str:
    """Return the end of a text, in characters that a log line or a page can show."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= _LABEL_CHARS else f"…{shown[1 - _LABEL_CHARS :]}"
