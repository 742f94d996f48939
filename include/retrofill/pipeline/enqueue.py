"""Read one partition page by page, and enqueue its new items in the in-process cache."""

import gc
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import takewhile
from typing import TypedDict

from retrofill.engine.first_calls import Fits
from retrofill.engine.sampling import systematic
from retrofill.model.errors import RunIncomplete, SourceError
from retrofill.model.items import LONGEST_KEY_BYTES, Item
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.sources import Page, Partition, Source
from retrofill.state.connection import Connection
from retrofill.state.feedback import note_later
from retrofill.state.limits import stop_if_late
from retrofill.state.screening import Chunk, PartitionState, get_partition, screen

log = logging.getLogger(__name__)

CHUNK_ITEMS = 20_000
"""Items screened in one transaction. Larger chunks take more memory, and are hardly faster."""

CHUNK_BYTES = 16 * 2**20
"""Bytes of content in UTF-8 after which a chunk ends, however few its items are."""

CHUNK_S = 10.0
"""Seconds after which a chunk ends, so that a crash repeats little."""

LATER_NOTED = 100
"""The most items per chunk to record that were modified after the run was opened."""

SWITCH_S = 0.0005
"""How long a thread runs before it yields Python's global lock to a waiting one."""

_FORBIDDEN = ("\0", "\x1e")
_SHOWN_CHARS = 60


class Enqueued(TypedDict):
    """The counts of one ``enqueue`` task."""

    listed: int
    new: int
    known: int


def enqueue(
    conn: Connection,
    ref: SetRef,
    part_no: int,
    source: Source,
    fits: Fits | None = None,
    *,
    redriven: Selection | None = None,
    progressed: Callable[[], None] = lambda: None,
) -> Enqueued:
    """Read a partition from its cursor until its end or until the set is full.

    :param fits: returns why no call can carry an item, which is then left out; None: all fit
    :param redriven: the succeeded items to call again; None: no items
    :param progressed: called after each chunk
    :raises RunIncomplete: the run was stopped, or its minutes have passed; a retry continues
    :raises SourceError: the source could not be read, listed nothing although its survey saw keys,
        or listed an item that the state cannot store. Earlier chunks are committed
    :raises LeaseLost: another task reads the same partition
    """
    total = Enqueued(listed=0, new=0, known=0)
    progress = get_partition(conn, ref.run_id, part_no)
    if progress.done:
        log.info("an earlier try has read the partition to its end")
        return total
    partition = Partition(part_no, progress.label, progress.description, progress.seen)
    pages = source.pages(partition, progress.cursor)
    if fits is not None:
        pages = _fitting(fits, pages)
    with _bulk_work(), closing(_ahead(source.name, pages)) as chunks:
        for chunk in chunks:
            if reason := stop_if_late(conn, ref.run_id):
                raise RunIncomplete(f"the listing is not at its end: {reason}")
            progress = progress._replace(
                found=progress.found or any(page.seen for page in chunk.pages)
            )
            if chunk.done:
                _require_found(progress)
            screened = screen(
                conn,
                ref,
                part_no,
                progress,
                chunk,
                ordered=source.ordered,
                acknowledge=source.acknowledge if source.acknowledges else None,
                redriven=redriven,
            )
            _note_later(conn, ref, part_no, chunk)
            total["new"] += screened.new
            total["known"] += screened.known
            total["listed"] += screened.new + screened.known
            progressed()
            log.info("listed %(listed)d items so far: %(new)d new, %(known)d known", total)
            if screened.set_is_full:
                log.info("the set is full; the run continues with the next one")
                break
            progress = progress._replace(chunk_no=progress.chunk_no + 1)
    return total


def _note_later(conn: Connection, ref: SetRef, part_no: int, chunk: Chunk) -> None:
    """Record some items modified after the run was opened: the function may have written them."""
    if later := [item for page in chunk.pages for item in page.later]:
        noted = [later[place] for place in systematic(len(later), LATER_NOTED)]
        note_later(conn, ref.run_id, part_no, noted)


def _require_found(progress: PartitionState) -> None:
    """Check, at a partition's end, that its listing had keys if the survey saw any.

    Both counts are before filters.
    """
    if progress.seen and not progress.found:
        raise SourceError(
            f"partition {progress.label!r}: the survey saw {progress.seen:,} keys in it, but its"
            " listing shows none, so it is not done. If all was deleted in between, start"
            " a new run of the job: it surveys the source again and continues"
        )


def _fitting(fits: Fits, pages: Iterator[Page]) -> Iterator[Page]:
    """Yield pages without the items that no call can carry. They count as left out."""
    for page in pages:
        reasons = [fits(item) for item in page.items]
        if not any(reasons):
            yield page
            continue
        left_out = Counter(page.left_out)
        left_out.update(reason for reason in reasons if reason)
        items = [item for item, reason in zip(page.items, reasons, strict=True) if not reason]
        yield page._replace(items=items, left_out=left_out)


@contextmanager
def _bulk_work() -> Iterator[None]:
    """Tune garbage collection and thread switching for two threads that allocate many objects.

    By default, Python would spend a sixth of the time on the search for cycles, which these objects
    do not form, and the thread that feeds Postgres would wait 5 ms for the listing thread each
    time. At most two chunks are in memory, so any larger growth still starts a collection.
    """
    threshold, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(10 * CHUNK_ITEMS, *threshold[1:])
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*threshold)


def _ahead(source: str, pages: Iterator[Page]) -> Generator[Chunk, None, None]:
    """Yield chunks. While one is screened, the next one is gathered.

    If screening fails, the gathered chunk is discarded: a retry lists it again from the cursor.
    """
    over = threading.Event()
    gathered = _chunks(source, takewhile(lambda _: not over.is_set(), pages))
    with ThreadPoolExecutor(1, "retrofill-gathering") as ahead:
        pending = ahead.submit(next, gathered, None)
        try:
            while (chunk := pending.result()) is not None:
                pending = ahead.submit(next, gathered, None)
                yield chunk
        finally:
            over.set()


def _chunks(source: str, pages: Iterator[Page]) -> Iterator[Chunk]:
    """Gather pages into chunks; the last one marks the partition as done.

    :raises SourceError: the state cannot store an item
    """
    gathered: list[Page] = []
    items = content = 0
    began = time.monotonic()
    for page in pages:
        gathered.append(page)
        items += len(page.items)
        content += _content_bytes(source, page.items)
        late = time.monotonic() - began > CHUNK_S
        if items >= CHUNK_ITEMS or content >= CHUNK_BYTES or late:
            yield Chunk(pages=gathered, done=False)
            gathered, items, content = [], 0, 0
            began = time.monotonic()
    yield Chunk(pages=gathered, done=True)


def _content_bytes(source: str, items: list[Item]) -> int:
    """Return the size of the items' contents, after checking that the state can store the items.

    The contents are joined first: to check them one by one would take longer than to list them.

    :raises SourceError: the state cannot store one of them
    """
    keys = [item.key for item in items]
    if max(map(len, keys), default=0) > LONGEST_KEY_BYTES // 4:
        for key in keys:
            if (size := len(key.encode())) > LONGEST_KEY_BYTES:
                raise SourceError(
                    f"{source}: it lists an item with a key of {size:,} bytes,"
                    f" {key[:_SHOWN_CHARS]!r}…; at most {LONGEST_KEY_BYTES:,} are allowed"
                )
    contents = "".join([item.content for item in items])
    if any(character in contents for character in _FORBIDDEN):
        for item in items:
            if found := [one for one in _FORBIDDEN if one in item.content]:
                raise SourceError(
                    f"{source}: the content of item {item.key[:_SHOWN_CHARS]!r} has the"
                    f" control character {found[0]!r}, which no content may have"
                )
    return len(contents) if contents.isascii() else len(contents.encode())
