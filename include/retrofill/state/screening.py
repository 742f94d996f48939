"""Screening: which of a chunk of listed items are new, and their way into the in-process cache.

Two runs of one job may screen the same items at once, while calls move items on. It is exact
because a chunk is one transaction that first locks the row of the job. From there on no other
chunk can add items to this job; and what is known is read by one statement, so by one snapshot,
in which every item is in exactly one place, since each move between places is one transaction.
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
    find,
    one,
    require_isolation,
    transaction,
)
from retrofill.state.locks import lock_set, take_turn
from retrofill.state.statements import load
from retrofill.state.successes import find_selected, take_back

_SQL = load("screening.sql")

# Binary COPY; format: PostgreSQL manual, "COPY", file formats. A row is its number of fields, then
# each field behind its length in bytes.
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

They fit into the buffers of a socket (100 KB), so that neither side waits for the other."""


class PartitionState(NamedTuple):
    """Where the reading of a partition stands."""

    label: str
    description: dict[str, Any]
    cursor: str | None
    chunk_no: int
    done: bool
    job_id: int
    seen: int | None
    """How many of its keys the source saw when it was divided; None: it did not look."""

    found: bool
    """Whether anything has been listed in it, by whatever try or set; filters do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of a partition: whole pages, as the source listed them."""

    pages: Sequence[Page]
    done: bool
    """Whether the partition ends here."""


class _Known(NamedTuple):
    """What is known of some items, or of a range of keys, each a value of many; None: nothing."""

    identifiers: bytes | None
    """Of all but those in process with another run."""

    elsewhere: bytes | None
    """The identifiers of those."""

    numbers: bytes | None
    """Their numbers, in the same order."""


class Screened(NamedTuple):
    """What became of a chunk."""

    new: int
    known: int
    set_is_full: bool


def get_partition(conn: Connection, run_id: int, part_no: int) -> PartitionState:
    """Return where the reading of a partition stands.

    :raises StateError: there is no such partition
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["get_partition"], {"run_id": run_id, "part_no": part_no})
        state = find(cur, PartitionState)
    if state is None:
        message = f"partition {part_no} of run {run_id} is not in the state"
        raise StateError(message)
    return state


def known(conn: Connection, job_id: int, items: list[Item]) -> set[bytes]:
    """Return the identifiers of those items, and perhaps of others, that the job knows."""
    with transaction(conn) as cur:
        return _known(cur, job_id, 0, items)[0]


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

    Where the set has no room for all, the chunk is cut before the first item that finds none, and
    the cursor stays before that item's page; see :func:`retrofill.engine.taking.take`.

    What is known is read by the range of the chunk's keys. A source without order has chunks that
    span all keys: once one has screened for a job, each item is looked up by itself.

    :param partition: where the reading stood when the chunk was listed
    :param ordered: whether the source lists in the order of its keys
    :param acknowledge: told of each page that was taken to its end, once that is on the disk; None:
        nobody need be told, and the commit may be lost at a crash of the server
    :param redriven: which of the known items that have succeeded are taken into process again;
        None: none of them
    :raises LeaseLost: another task has read on in this partition meanwhile
    :raises StateUnfit: the transaction does not run at READ COMMITTED
    """
    with transaction(conn) as cur:
        turn = take_turn(cur, partition.job_id)
        require_isolation(turn.isolation)
        room = lock_set(cur, ref, part_no)
        items = list(chain.from_iterable(page.items for page in chunk.pages))
        if not (ordered or turn.unordered):
            cur.execute(_SQL["begin_unordered"], {"job_id": partition.job_id})
            cur.execute(_SQL["mark_unordered"], {"job_id": partition.job_id})
        unordered = turn.unordered or not ordered
        look_up = _found if unordered else _known
        known_items, elsewhere = look_up(cur, partition.job_id, ref.run_id, items)
        selected = frozenset[bytes]()
        if redriven is not None:
            listed = [item for item in items if item.identifier in known_items]
            selected = find_selected(cur, partition.job_id, ref.run_id, redriven, listed)
            known_items -= selected
        taken = take(chunk.pages, bytes(room.recent), known_items, room.items)
        again = [taken.new.pop(one) for one in selected & taken.new.keys()]
        new, known = len(taken.new), taken.listed - len(taken.new)
        done = chunk.done and not taken.is_cut
        if new:
            head = (
                _row_head(7, 4, partition.job_id, 8, ref.run_id) + _unordered
                if unordered
                else _row_head(6, 4, partition.job_id, 8, ref.run_id)
            )
            pieces = _Pieces(_encoded(head, turn.next_seq, taken.new.values()))
            cur.copy_expert(_SQL["copy_new_unordered" if unordered else "copy_new"], pieces)
            cur.execute(_SQL["advance_seq"], {"job_id": partition.job_id, "count": new})
            cur.execute(_SQL["fill_set"], {**ref._asdict(), "count": new})
        if again:
            take_back(cur, ref, partition.job_id, turn.next_seq + new, again)
        place = {"run_id": ref.run_id, "part_no": part_no, "chunk_no": partition.chunk_no}
        if elsewhere:
            cur.execute(_SQL["note_elsewhere"], {**place, "items": multirange(elsewhere)})
        reach(Point.CHUNK_COPIED)
        if not (chunk.done or taken.is_cut or acknowledge):
            # The next chunk need not wait for the disk. Lost at a crash of the server would be
            # items and cursor together, and whatever builds on them: the log has one order.
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
            message = f"partition {part_no} of run {ref.run_id} is read by another task"
            raise LeaseLost(message)
    reach(Point.CHUNK_COMMITTED)
    if acknowledge is not None:
        for page in taken.whole:
            acknowledge(page)
    return Screened(new, known, taken.is_cut)


def _known(
    cur: Cursor, job_id: int, run_id: int, items: list[Item]
) -> tuple[set[bytes], list[Span]]:
    """Return the identifiers that the job knows between the first and the last of the items' keys.

    They come as one value: row by row, each would wait for the thread that lists.

    :returns: with the numbers of those items that are in process with another run
    """
    if not items:
        return set(), []
    keys = [item.key for item in items]
    bounds = {"job_id": job_id, "run_id": run_id, "first": min(keys), "last": max(keys)}
    cur.execute(_SQL["list_known"], bounds)
    known = one(cur, _Known)
    return _split(known, items)


def _found(
    cur: Cursor, job_id: int, run_id: int, items: list[Item]
) -> tuple[set[bytes], list[Span]]:
    """Return the identifiers of those items that the job knows, each looked up by itself.

    :returns: with the numbers of those that are in process with another run
    """
    listed = {
        "keys": [item.key for item in items],
        "identifiers": [item.identifier.hex() for item in items],
    }
    cur.execute(_SQL["find_known"], {"job_id": job_id, "run_id": run_id, **listed})
    return _split(one(cur, _Known), items)


def _split(known: _Known, items: list[Item]) -> tuple[set[bytes], list[Span]]:
    identifiers = set(identifiers_in(known.identifiers or b""))
    if not known.elsewhere or not known.numbers:
        return identifiers, []
    # An item may be listed twice in a chunk, and is then found twice.
    elsewhere = set(identifiers_in(known.elsewhere))
    numbers = struct.unpack(f">{len(known.numbers) // _NUMBER_BYTES}q", known.numbers)
    listed = set(map(_identifier, items))
    if not elsewhere <= listed:
        of_listed = map(listed.__contains__, identifiers_in(known.elsewhere))
        numbers = tuple(compress(numbers, of_listed))
    rising = sorted(numbers if len(numbers) == len(elsewhere) else set(numbers))
    return elsewhere | identifiers if identifiers else elsewhere, spans_of(rising)


def _left_out(pages: Sequence[Page]) -> Mapping[str, int]:
    """Return how much some pages leave out, by reason."""
    counts = Counter[str]()
    for page in pages:
        counts.update(page.left_out)
    return +counts


class _Pieces(io.RawIOBase):
    """A file for COPY whose pieces are made when they are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int = -1, /) -> bytes:
        """Return the next piece, of whatever size it is; at the end, an empty one."""
        return next(self._pieces, b"")


def _encoded(head: bytes, next_seq: int, items: Collection[Item]) -> Iterator[bytes]:
    """Encode items, in pieces.

    :param head: what each row begins with
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
