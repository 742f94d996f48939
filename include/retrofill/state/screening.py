"""Screening: find the new items of a chunk, and add them to the in-process cache.

Two runs of one job may screen the same items at the same time, while calls move items. Screening
is exact nevertheless. A chunk is one transaction that first locks the row of the job, so no other
chunk can add items to the job. One statement reads the known items, so it sees one snapshot. In a
snapshot every item is in exactly one place, because each move between places is one transaction.
"""

import io
import json
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import attrgetter
from typing import Any, NamedTuple

from retrofill.engine.taking import identifiers_in, take
from retrofill.faults import Point, reach
from retrofill.model.calls import Span, spans_of
from retrofill.model.errors import LeaseLost, StateError
from retrofill.model.items import IDENTIFIER_BYTES, Item
from retrofill.model.listing import Page
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.state.arrays import multirange
from retrofill.state.connection import (
    Connection,
    Cursor,
    executed,
    find,
    one,
    require_isolation,
    transaction,
)
from retrofill.state.locks import lock_job_for_items, lock_set
from retrofill.state.statements import load
from retrofill.state.successes import find_selected, take_back

_SQL = load("screening.sql")

# Binary COPY; format: PostgreSQL manual, "COPY", file formats. A row is its number of fields, then
# for each field its length in bytes and its value.
_COPY_BEGINS = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS = b"\xff\xff"
_row_head = struct.Struct(">hiiiq").pack
_unordered = struct.Struct(">i?").pack(1, True)  # noqa: FBT003  it is packed
_row_middle = struct.Struct(f">iqi{IDENTIFIER_BYTES}si").pack
_length = struct.Struct(">i").pack
_identifier = attrgetter("identifier")
_NUMBER_BYTES = 8

_PIECE_ROWS = 500
"""Rows that are encoded and sent at once: the server inserts them while the next are encoded.

They fit into the buffers of a socket (100 KB), so that neither side waits for the other.
"""


class PartitionState(NamedTuple):
    """A partition, and how far it was listed."""

    label: str
    description: dict[str, Any]
    cursor: str | None
    chunk_no: int
    done: bool
    job_id: int
    seen: int | None
    """Keys that the survey of the source found in it; None: there was no survey."""

    found: bool
    """Whether anything was listed in it, before filters, by any try or set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive pages of a partition, as the source listed them."""

    pages: Sequence[Page]
    done: bool
    """Whether the partition ends here."""


class _Known(NamedTuple):
    """The known items among some, or in a range of keys. Each field joins many values."""

    identifiers: bytes | None
    """Identifiers, except those of items in process in another run."""

    elsewhere: bytes | None
    """Identifiers of items in process in another run."""

    numbers: bytes | None
    """The numbers of those, in the same order."""


class Screened(NamedTuple):
    """The result of screening a chunk."""

    new: int
    known: int
    set_is_full: bool


def get_partition(conn: Connection, run_id: int, part_no: int) -> PartitionState:
    """Return a partition, and how far it was listed.

    :raises StateError: there is no such partition
    """
    with executed(conn, _SQL["get_partition"], run_id=run_id, part_no=part_no) as cur:
        partition = find(cur, PartitionState)
    if partition is None:
        raise StateError(f"partition {part_no} of run {run_id} is not in the state")
    return partition


def known(conn: Connection, job_id: int, items: list[Item]) -> set[bytes]:
    """Return the identifiers of the items that the job knows, and perhaps of others."""
    with transaction(conn) as cur:
        return set(identifiers_in(_known(cur, job_id, 0, items)[0]))


def screen(
    conn: Connection,
    ref: SetRef,
    part_no: int,
    partition: PartitionState,
    chunk: Chunk,
    *,
    ordered: bool = True,
    acknowledge: Callable[[Page], None] | None = None,
    redriven: Selection | None = None,
) -> Screened:
    """Enqueue the new items of a chunk and move the partition's cursor, in one transaction.

    If the set has no room for all items, the chunk is cut before the first item that does not fit.
    The cursor then stays before that item's page; see :func:`retrofill.engine.taking.take`.

    Known items are read by the range of the chunk's keys. The chunks of a source without order span
    all keys. Once such a source has screened for a job, each item is looked up by itself.

    :param partition: the partition when the chunk was listed
    :param ordered: whether the source lists in the order of its keys
    :param acknowledge: called with each complete page, once the commit is on disk; None: a crash
        of the server may lose the commit
    :param redriven: which known items that succeeded are redriven; None: none of them
    :raises LeaseLost: another task has listed this partition in the meantime
    :raises StateUnfit: the transaction does not run at READ COMMITTED
    """
    with transaction(conn) as cur:
        job = lock_job_for_items(cur, partition.job_id)
        require_isolation(job.isolation)
        room = lock_set(cur, ref, part_no)
        items = list(chain.from_iterable(page.items for page in chunk.pages))
        if not (ordered or job.unordered):
            cur.execute(_SQL["begin_unordered"], {"job_id": partition.job_id})
            cur.execute(_SQL["mark_unordered"], {"job_id": partition.job_id})
        unordered = job.unordered or not ordered
        look_up = _found if unordered else _known
        known_before, elsewhere = look_up(cur, partition.job_id, ref.run_id, items)
        selected = frozenset[bytes]()
        if redriven is not None:
            identifiers = set(identifiers_in(known_before))
            listed = [item for item in items if item.identifier in identifiers]
            selected = find_selected(cur, partition.job_id, ref.run_id, redriven, listed)
            known_before = b"".join(identifiers - selected)
        taken = take(chunk.pages, bytes(room.recent), known_before, room.items)
        again = [taken.new.pop(one) for one in selected & taken.new.keys()]
        new, known = len(taken.new), taken.listed - len(taken.new)
        done = chunk.done and not taken.is_cut
        if new:
            fields, column = (7, _unordered) if unordered else (6, b"")
            head = _row_head(fields, 4, partition.job_id, 8, ref.run_id) + column
            pieces = _Pieces(_encoded(head, job.next_seq, taken.new.values()))
            cur.copy_expert(_SQL["copy_new_unordered" if unordered else "copy_new"], pieces)
            cur.execute(_SQL["advance_seq"], {"job_id": partition.job_id, "count": new})
            cur.execute(_SQL["fill_set"], {**ref._asdict(), "count": new})
        if again:
            take_back(cur, ref, partition.job_id, job.next_seq + new, again)
        place = {"run_id": ref.run_id, "part_no": part_no, "chunk_no": partition.chunk_no}
        if elsewhere:
            cur.execute(_SQL["note_elsewhere"], {**place, "items": multirange(elsewhere)})
        reach(Point.CHUNK_COPIED)
        if not (chunk.done or taken.is_cut or acknowledge):
            # The next chunk need not wait for the disk. A crash of the server would lose items and
            # cursor together, and everything that builds on them, because the log has one order.
            cur.execute(_SQL["commit_unflushed"])
        cur.execute(
            _SQL["advance_partition"],
            {
                **place,
                "cursor": taken.whole[-1].cursor if taken.whole else None,
                "recent": b"" if done else taken.recent,
                "done": done,
                "listed": taken.listed,
                "new": new,
                "known": known,
                "late": len(
                    frozenset().union(*(page.late for page in chunk.pages)) & taken.new.keys()
                ),
                "left_out": json.dumps(_left_out(taken.whole)),
            },
        )
        if cur.rowcount != 1:
            raise LeaseLost(f"partition {part_no} of run {ref.run_id} is listed by another task")
    reach(Point.CHUNK_COMMITTED)
    if acknowledge is not None:
        for page in taken.whole:
            acknowledge(page)
    return Screened(new, known, taken.is_cut)


def _known(cur: Cursor, job_id: int, run_id: int, items: list[Item]) -> tuple[bytes, list[Span]]:
    """Return the known identifiers between the first and the last of the items' keys.

    They come as one value: as rows, each would wait for the thread that lists.

    :returns: the identifiers, and the numbers of the items in process in another run
    """
    if not items:
        return b"", []
    keys = [item.key for item in items]
    bounds = {"job_id": job_id, "run_id": run_id, "first": min(keys), "last": max(keys)}
    cur.execute(_SQL["list_known"], bounds)
    return _split(one(cur, _Known), items)


def _found(cur: Cursor, job_id: int, run_id: int, items: list[Item]) -> tuple[bytes, list[Span]]:
    """Return the identifiers of the items that the job knows, each looked up by itself.

    :returns: as :func:`_known` does
    """
    listed = {
        "keys": [item.key for item in items],
        "identifiers": [item.identifier.hex() for item in items],
    }
    cur.execute(_SQL["find_known"], {"job_id": job_id, "run_id": run_id, **listed})
    return _split(one(cur, _Known), items)


def _split(known: _Known, items: list[Item]) -> tuple[bytes, list[Span]]:
    identifiers, elsewhere, numbers = (bytes(column or b"") for column in known)
    seqs = struct.unpack(f">{len(numbers) // _NUMBER_BYTES}q", numbers)
    if seqs and elsewhere != b"".join(map(_identifier, items)):
        # Others are in the range.
        listed = set(map(_identifier, items))
        of_listed = map(listed.__contains__, identifiers_in(elsewhere))
        seqs = tuple(compress(seqs, of_listed))
    # An item that is listed twice may be found twice.
    return identifiers + elsewhere, spans_of(sorted(set(seqs)))


def _left_out(pages: Sequence[Page]) -> Mapping[str, int]:
    counts = Counter[str]()
    for page in pages:
        counts.update(page.left_out)
    return +counts


class _Pieces(io.RawIOBase):
    """A file for COPY whose pieces are made on demand."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int = -1, /) -> bytes:
        """Return the next piece, of any size; at the end, an empty one."""
        return next(self._pieces, b"")


def _encoded(head: bytes, next_seq: int, items: Collection[Item]) -> Iterator[bytes]:
    """Encode items in pieces.

    :param head: the beginning of each row
    """
    yield _COPY_BEGINS
    rows: list[bytes] = []
    for seq, item in enumerate(items, next_seq):
        identifier, key, content = item
        key_bytes, content_bytes = key.encode(), content.encode()
        rows.append(
            b"".join(
                (
                    head,
                    _row_middle(8, seq, IDENTIFIER_BYTES, identifier, len(key_bytes)),
                    key_bytes,
                    _length(len(content_bytes)),
                    content_bytes,
                )
            )
        )
        if len(rows) == _PIECE_ROWS:
            yield b"".join(rows)
            rows.clear()
    yield b"".join(rows) + _COPY_ENDS
