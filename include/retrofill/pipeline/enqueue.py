"""Retrieve one partition page by page, and enqueue in the in-process cache what is new."""

import logging
import time
from collections.abc import Iterator
from typing import TypedDict

from include.retrofill.model.items import Item
from include.retrofill.model.runs import SetRef
from include.retrofill.sources import Page, Partition, Source
from include.retrofill.state.connection import Connection
from include.retrofill.state.screening import Chunk, get_partition, screen

log = logging.getLogger(__name__)

CHUNK_ITEMS = 50_000
"""Items screened in one transaction: more go faster, and take more memory."""

CHUNK_S = 10.0
"""Seconds after which what was listed so far is screened, so that a crash repeats little."""


class Enqueued(TypedDict):
    """What one enqueue task did."""

    listed: int
    new: int
    known: int


def enqueue(conn: Connection, ref: SetRef, part_no: int, source: Source) -> Enqueued:
    """Read a partition from its cursor until its end or until the set is full.

    :raises SourceError: the source could not be read; what was screened before stays
    :raises LeaseLost: another task reads the same partition
    """
    total = Enqueued(listed=0, new=0, known=0)
    state = get_partition(conn, ref.run_id, part_no)
    if state.done:
        log.info("the partition had been read to its end by an earlier try")
        return total
    partition = Partition(part_no, "", state.description)
    for chunk in _chunks(source.pages(partition, state.cursor)):
        screened = screen(conn, ref, part_no, state, chunk)
        total["new"] += screened.new
        total["known"] += screened.known
        total["listed"] += screened.new + screened.known
        log.info("listed %(listed)d items so far: %(new)d new, %(known)d known", total)
        if screened.set_is_full:
            log.info("the set is full; the run goes on with the next one")
            break
        state = state._replace(chunk_no=state.chunk_no + 1)
    return total


def _chunks(pages: Iterator[Page]) -> Iterator[Chunk]:
    """Gather pages into chunks; the last one says that the partition is done."""
    items: list[Item] = []
    last_key: str | None = None
    archived = filtered = rejected = 0
    began = time.monotonic()
    for page in pages:
        items += page.items
        last_key = page.last_key
        archived += page.archived
        filtered += page.filtered
        rejected += page.rejected
        if len(items) >= CHUNK_ITEMS or time.monotonic() - began > CHUNK_S:
            yield Chunk(
                items=items,
                last_key=last_key,
                archived=archived,
                filtered=filtered,
                rejected=rejected,
                done=False,
            )
            items, archived, filtered, rejected = [], 0, 0, 0
            began = time.monotonic()
    yield Chunk(
        items=items,
        last_key=last_key,
        archived=archived,
        filtered=filtered,
        rejected=rejected,
        done=True,
    )
