"""Screening: which of a chunk of listed items are new, and their way into the in-process cache.

Two runs of one job may screen the same items at once, while calls move items on. It is exact
because a chunk is one transaction that first locks the row of the job. From there on no other
chunk can add items to this job; and what is known is read by one statement, so by one snapshot,
in which every item is in exactly one place, since each move between places is one transaction.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from include.retrofill.faults import Point, reach
from include.retrofill.model.errors import LeaseLost, StateError
from include.retrofill.model.items import IDENTIFIER_BYTES, Item
from include.retrofill.model.runs import SetRef
from include.retrofill.state.connection import (
    Connection,
    Cursor,
    one,
    require_isolation,
    transaction,
)
from include.retrofill.state.statements import load

_SQL = load("screening.sql")

# Binary COPY (PostgreSQL manual, "COPY", file formats): a header of 19 bytes, then per row a
# field count of 2 bytes, a field length of 4 and the field.
_COPY_HEADER = 19
_COPY_ROW_HEAD = 6
_COPY_ROW = _COPY_ROW_HEAD + IDENTIFIER_BYTES

_TEXT_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class PartitionState(NamedTuple):
    """Where the reading of a partition stands."""

    description: dict[str, Any]
    cursor: str | None
    chunk_no: int
    done: bool
    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of a partition, as the source listed it."""

    items: list[Item]
    last_key: str | None
    """All keys up to this one were seen; None: nothing was."""

    archived: int
    filtered: int
    rejected: int
    done: bool
    """Whether the partition ends here."""


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
        row = cur.fetchone()
    if row is None:
        message = f"partition {part_no} of run {run_id} is not in the state"
        raise StateError(message)
    return PartitionState(*row)


def known(conn: Connection, job_id: int, items: list[Item]) -> set[bytes]:
    """Return the identifiers of those items, and perhaps of others, that the job knows."""
    with transaction(conn) as cur:
        return _known(cur, job_id, items)


def screen(
    conn: Connection, ref: SetRef, part_no: int, partition: PartitionState, chunk: Chunk
) -> Screened:
    """Enqueue the new items of a chunk and move the partition's cursor, in one transaction.

    Where the set has no room for all, the chunk is cut behind the last item there is room for.

    :param partition: where the reading stood when the chunk was listed
    :raises LeaseLost: another task has read on in this partition meanwhile
    :raises StateUnfit: the transaction does not run at READ COMMITTED
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["lock_job"], {"job_id": partition.job_id})
        next_seq, isolation = one(cur)
        require_isolation(isolation)
        cur.execute(_SQL["room_in_set"], ref._asdict())
        room = one(cur)[0]
        seen = _known(cur, partition.job_id, chunk.items)
        new: list[Item] = []
        listed = 0
        for item in chunk.items:
            if item.identifier not in seen:
                if len(new) == room:
                    break
                seen.add(item.identifier)
                new.append(item)
            listed += 1
        cut = listed < len(chunk.items)
        if new:
            _copy_new(cur, partition.job_id, ref.run_id, next_seq, new)
            cur.execute(_SQL["advance_seq"], {"job_id": partition.job_id, "count": len(new)})
            cur.execute(_SQL["fill_set"], {**ref._asdict(), "count": len(new)})
        reach(Point.CHUNK_COPIED)
        cur.execute(
            _SQL["advance_partition"],
            {
                "run_id": ref.run_id,
                "part_no": part_no,
                "chunk_no": partition.chunk_no,
                "cursor": _cut_cursor(chunk.items, listed) if cut else chunk.last_key,
                "done": chunk.done and not cut,
                "listed": listed,
                "new": len(new),
                "known": listed - len(new),
                "archived": 0 if cut else chunk.archived,
                "filtered": 0 if cut else chunk.filtered,
                "rejected": 0 if cut else chunk.rejected,
            },
        )
        if cur.rowcount != 1:
            message = f"partition {part_no} of run {ref.run_id} is read by another task"
            raise LeaseLost(message)
    reach(Point.CHUNK_COMMITTED)
    return Screened(len(new), listed - len(new), cut)


def _cut_cursor(items: list[Item], listed: int) -> str | None:
    return items[listed - 1].key if listed else None


def _known(cur: Cursor, job_id: int, items: list[Item]) -> set[bytes]:
    if not items:
        return set()
    keys = [item.key for item in items]
    out = io.BytesIO()
    bounds = {"job_id": job_id, "first": min(keys), "last": max(keys)}
    cur.copy_expert(cur.mogrify(_SQL["copy_known"], bounds), out)
    data = out.getbuffer()
    first, last = _COPY_HEADER + _COPY_ROW_HEAD, len(data) - IDENTIFIER_BYTES
    return {bytes(data[at : at + IDENTIFIER_BYTES]) for at in range(first, last, _COPY_ROW)}


def _copy_new(cur: Cursor, job_id: int, run_id: int, next_seq: int, items: Iterable[Item]) -> None:
    rows = "".join(
        f"{job_id}\t{seq}\t{run_id}\t{item.identifier.hex()}\t{item.key.translate(_TEXT_ESCAPES)}\t"
        f"{item.version_id.translate(_TEXT_ESCAPES)}\t{item.etag.translate(_TEXT_ESCAPES)}\t"
        f"{item.size}\t{_moment(item.modified_at)}\n"
        for seq, item in enumerate(items, next_seq)
    )
    cur.copy_expert(_SQL["copy_new"], io.StringIO(rows))


def _moment(moment: datetime) -> str:
    return moment.isoformat()
