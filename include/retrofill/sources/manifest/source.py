"""A manifest as a source: the objects of a bucket that it names, in the manifest's order."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from retrofill.aws.objects import LATER_SHOWN, pack
from retrofill.engine.identity import identifier_of
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.items import Item
from retrofill.model.listing import Page, Partition
from retrofill.model.quoting import quoted
from retrofill.sources.files import Files
from retrofill.sources.manifest.layout import Layout, Writing, names_without_header
from retrofill.sources.manifest.objects import NO_VERSION, Named, look_up, reader
from retrofill.sources.manifest.reports import ListedFiles
from retrofill.sources.row_files import OpenedFile, RowFiles
from retrofill.sources.scanners.recognize import Asked
from retrofill.sources.scanners.scanner import Malformed, Row
from retrofill.sources.source import Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

PAGE_ROWS = 1_000

_NamedRow: TypeAlias = tuple[Row | Malformed, Named | None]
"""A row, and the object that it names; None: it is malformed, and left out."""


class ManifestSource(Source):
    """The objects of a bucket that a manifest names.

    They are the same items as in a listing of the bucket. An object whose size, time and ETag are
    not in the manifest is looked up, so that its ETag is part of its identifier.

    :param client: looks objects up
    :param files: the manifest; a :class:`ListedFiles` if it is a manifest.json
    :param writing: how it writes keys; None: as usual for its format
    :param versions: whether an item is one version of an object
    :param status: of a completion report, only tasks that ended this way; None: all
    :param stop: whether a malformed row ends the run; if not, it is left out
    :param passes: returns whether the live trigger would send an item; None: it sends all
    :param opened: objects modified later are left out; None: nothing is
    """

    ordered = False

    def __init__(
        self,
        client: "S3Client",
        files: Files,
        asked: Asked,
        *,
        bucket: str,
        writing: Writing | None = None,
        versions: bool = False,
        status: str | None = None,
        stop: bool = True,
        passes: Callable[[Item], bool] | None = None,
        opened: datetime | None = None,
    ) -> None:
        self.name = f"s3://{bucket}"
        self._client = client
        self._files = files
        self._asked = asked
        self._bucket = bucket
        self._writing = writing
        self._versions = versions
        self._status = status
        self._stop = stop
        self._passes = passes
        self._opened = opened
        self._identifier = identifier_of(self.name)
        self._known: RowFiles | None = None

    @property
    def _rows(self) -> RowFiles:
        """The rows of the manifest; a manifest.json is read for the names of its columns."""
        if self._known is None:
            asked = self._asked
            if isinstance(self._files, ListedFiles):
                described = self._files.describe()
                if described.columns:
                    asked = asked._replace(format="csv", delimiter=",", columns=described.columns)
                self._writing = self._writing or described.writing
            self._known = RowFiles(self._files, asked, names=names_without_header, parquet=True)
        return self._known

    def check(self) -> bool:
        """Find the manifest, and read its first row.

        :raises ConfigError: there is no manifest, or it does not match the params, such as one of
            another bucket
        :raises SourceError: there was no response; a retry may succeed
        """
        opened = self._rows.first()
        try:
            first = next(self._named(opened), None) if opened is not None else None
        except UnfitSource as error:
            raise ConfigError(f"{self._files.location.param}: {error}") from error
        named = None if first is None else first[1]
        if opened is not None and opened.recognized and named and named.bucket != self._bucket:
            raise ConfigError(
                f"{self._files.location.param}: file {opened.file.path} has no header with a column"
                f" key, so it is read as a manifest of S3 Batch Operations. Its first row names the"
                f" bucket {quoted(named.bucket)}, not {self._bucket!r}; correct bucket, or name its"
                " columns"
            )
        return first is not None

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the manifest's files into parts of about the same number of bytes."""
        return self._rows.partitions(limit)

    def estimate(self) -> int | None:
        """Return the approximate number of rows, from the beginning of the first file."""
        return self._rows.estimate()

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Read the files of a partition, one after another.

        :raises SourceError: one cannot be read or has changed, a malformed row stops it, or an
            object cannot be looked up; the rows before were yielded
        """
        for opened in self._rows.read(partition, cursor):
            rows: list[_NamedRow] = []
            try:
                for row in self._named(opened):
                    rows.append(row)
                    if len(rows) >= PAGE_ROWS:
                        full, rows = rows, []
                        yield self._page(opened, full)
            except SourceError:
                if rows:
                    yield self._page(opened, rows)
                raise
            if rows:
                yield self._page(opened, rows)

    def _named(self, opened: OpenedFile) -> Iterator[_NamedRow]:
        return opened.held_back(self._read(opened), lambda pair: pair[1] is not None)

    def _read(self, opened: OpenedFile) -> Iterator[_NamedRow]:
        read = None
        columns = opened.head.columns
        for row in opened.rows:
            why = row.why if isinstance(row, Malformed) else ""
            named = None
            if isinstance(row, Row):
                read = read or self._first_reader(opened)
                names = opened.scanner.names(opened.head, row)
                try:
                    if names != columns:
                        read, columns = self._reader(opened, Layout.of(names)), names
                    named = read(row)
                except ValueError as error:
                    why = str(error)
            if why:
                opened.leave_out(row, why, stop=self._stop)
            yield row, named

    def _first_reader(self, opened: OpenedFile) -> Callable[[Row], Named]:
        """Recognize the columns of a file, or of its first row.

        :raises UnfitSource: none of them has keys
        """
        try:
            layout = Layout.of(opened.head.columns)
        except ValueError as error:
            raise UnfitSource(f"file {opened.file.path}: {error}") from error
        writing = self._writing_of(opened)
        log.info("%s: %s; keys are written %s", opened.file.path, layout.words, writing.value)
        return self._reader(opened, layout)

    def _reader(self, opened: OpenedFile, layout: Layout) -> Callable[[Row], Named]:
        return reader(
            layout,
            lambda names: opened.scanner.picker(opened.head, names),
            self._writing_of(opened),
            self._status,
        )

    def _writing_of(self, opened: OpenedFile) -> Writing:
        return self._writing or (Writing.PERCENT if opened.recognized else Writing.PLAIN)

    def _page(self, opened: OpenedFile, rows: list[_NamedRow]) -> Page:
        left_out = Counter[str]()
        wanted: list[Named] = []
        for _, named in rows:
            reason = self._reason(named)
            if reason:
                left_out[reason] += 1
            elif named is not None:
                wanted.append(named)
        unknown = [named for named in wanted if self._lacks_facts(named)]
        found = iter(
            look_up(self._client, self._bucket, unknown, versions=self._versions) if unknown else ()
        )
        items: list[Item] = []
        later: list[Item] = []
        for named in wanted:
            whole = next(found) if self._lacks_facts(named) else named
            reason, item = self._judge(whole)
            if item is not None and not reason:
                items.append(item)
                continue
            left_out[reason] += 1
            if item is not None and reason == "later":
                later.append(item)
        cursor = opened.cursor_behind(rows[-1][0])
        return Page(items, cursor, dict(left_out), later=later[:LATER_SHOWN])

    def _lacks_facts(self, named: Named) -> bool:
        """Return whether S3 must be asked for an object's facts or its version."""
        return named.facts_missing or (self._versions and not named.version_id)

    def _reason(self, named: Named | None) -> str:
        """Return why a row's object is left out; empty: it may be wanted."""
        if named is None:
            return "malformed"
        if named.bucket not in {"", self._bucket}:
            return "other_bucket"
        if "\0" in named.key:
            return "rejected"
        return named.skipped

    def _judge(self, named: Named | None) -> tuple[str, Item | None]:
        """Return why an object is left out (empty: it is not), and its item if there is one."""
        if named is None or named.size is None or named.modified_at is None:
            return "missing", None
        version = named.version_id if self._versions and named.version_id != NO_VERSION else ""
        item = Item(
            self._identifier(named.key, version or named.etag),
            named.key,
            pack(named.size, named.modified_at, named.etag, version),
        )
        if self._passes is not None and not self._passes(item):
            return "filtered", None
        if self._opened is not None and named.modified_at > self._opened:
            return "later", item
        return named.left_out, item
