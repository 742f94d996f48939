"""The canary: choose its items, give them numbers of their own as a batch, and read its results."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from retrofill.engine.batching import Piece
from retrofill.engine.causes import CallCount
from retrofill.engine.portions import divide
from retrofill.engine.sampling import choose, systematic
from retrofill.faults import Point, reach
from retrofill.model.items import Item, Measure
from retrofill.model.runs import SetRef
from retrofill.state.arrays import numbers
from retrofill.state.batches import PlannedBatch, find_pieces
from retrofill.state.connection import (
    Connection,
    Cursor,
    executed,
    find,
    one,
    pairs,
    rows,
    transaction,
    value,
    values,
)
from retrofill.state.locks import lock_job_for_items
from retrofill.state.statements import load

_SQL = load("canary.sql")
_SCREENING = load("screening.sql")

POOL_ITEMS = 100_000
"""Items that are measured at most. They are evenly spaced, so each is equally likely."""

_LOOK_ITEMS = 5_000
"""Items whose sizes are read at once."""

_UNKNOWN = -1
"""The size or time of an item whose source does not provide it."""


class _Moved(NamedTuple):
    """An item that got another number."""

    seq: int
    run_id: int
    bytes: int


class Found(NamedTuple):
    """The results of a canary so far."""

    items: int
    first_seq: int
    calls: int
    succeeded: int
    quarantined: int
    blamed: int
    """Items that failed alone, even if they succeeded later."""

    cost: float
    hints: list[str]
    sizes: list[int | None]
    done: bool
    troubles: dict[str, int]
    """Calls that did not succeed, by cause, or by outcome if it has no causes."""


class CanaryCall(NamedTuple):
    """A call of a canary."""

    first: bool
    """Whether it carried its items first."""

    items: int
    spans: list[tuple[int, int]]
    """The numbers of its items; the second of each span is exclusive."""

    took_ms: int | None
    """None: it had no response, or was not measured."""

    billed_ms: int | None
    memory_mb: int | None
    init_ms: int | None
    held_ms: float | None
    """Milliseconds from writing it ahead to settling it; None: not settled."""


def find_canary(conn: Connection, run_id: int) -> PlannedBatch | None:
    """Return the batch of a run's canary; None: it has none."""
    with transaction(conn) as cur:
        return _find(cur, run_id)


def _find(cur: Cursor, run_id: int) -> PlannedBatch | None:
    cur.execute(_SQL["get_canary"], {"run_id": run_id})
    return find(cur, PlannedBatch)


def choose_canary(
    conn: Connection,
    ref: SetRef,
    job_id: int,
    *,
    take: int,
    measure: Callable[[Item], Measure] | None,
    rng: Random,
) -> PlannedBatch | None:
    """Choose the canary of a run and make it a batch, unless the run has one.

    It chooses only items without an owner that no call has carried and no other run waits for,
    because calls and other runs find an item by its number, which changes.

    :param take: items that are wanted; there may be fewer
    :param measure: returns size and time of an item; None: the source provides neither
    :returns: None if there are no items to choose from, or if the run has other batches
    """
    key = {**ref._asdict(), "job_id": job_id}
    with transaction(conn) as cur:
        next_seq = lock_job_for_items(cur, job_id).next_seq
        cur.execute(_SQL["has_batches"], key)
        if value(cur):
            return _find(cur, ref.run_id)
        _, pieces = find_pieces(cur, ref.run_id, job_id)
        chosen = _choose(cur, key, pieces, take=take, measure=measure, rng=rng)
        if not chosen:
            return None
        canary = _move(cur, key, next_seq, chosen)
    reach(Point.CANARY_CHOSEN)
    return canary


def _choose(
    cur: Cursor,
    key: dict[str, int],
    pieces: Sequence[Piece],
    *,
    take: int,
    measure: Callable[[Item], Measure] | None,
    rng: Random,
) -> dict[int, int | None]:
    """Return the sizes of the chosen items by number; None: unknown."""
    cur.execute(_SQL["get_awaited"], key)
    awaited = value(cur)
    # All that is kept in memory of the items to choose from.
    seqs, sizes, times = array("q"), array("q"), array("d")
    for candidates in _candidates(cur, key["job_id"], pieces, rng):
        asked = {**key, "seqs": numbers(candidates), "awaited": awaited}
        cur.execute(_SQL["list_sizes"], asked)
        found = pairs(cur)
        seqs.extend(found)
        for size, time in _measured(cur, key, found, measure):
            sizes.append(size)
            times.append(time)
    if not seqs:
        return {}
    # A column in which all items are equal does not count, so the keys get its part of the choice.
    columns = [seqs, *(column for column in (sizes, times) if max(column) > min(column))]
    return {
        seqs[at]: None if sizes[at] == _UNKNOWN else sizes[at] for at in choose(columns, take, rng)
    }


def _candidates(
    cur: Cursor, job_id: int, pieces: Sequence[Piece], rng: Random
) -> Iterator[list[int]]:
    """Yield the numbers of at most POOL_ITEMS evenly spaced items, some at a time."""
    total = sum(piece.items for piece in pieces)
    ranks = systematic(total, POOL_ITEMS, rng)
    at = before = 0
    for piece in pieces:
        begin, at = at, bisect_left(ranks, before + piece.items, at)
        here = [rank - before for rank in ranks[begin:at]]
        before += piece.items
        if not here:
            continue
        if piece.items < piece.last_seq - piece.first_seq + 1:
            span = {"first_seq": piece.first_seq, "last_seq": piece.last_seq}
            cur.execute(_SQL["list_seqs"], {"job_id": job_id, **span})
            seqs = values(cur)
            here = [seqs[rank] for rank in here]
        else:
            here = [piece.first_seq + rank for rank in here]
        for start in range(0, len(here), _LOOK_ITEMS):
            yield here[start : start + _LOOK_ITEMS]


def _measured(
    cur: Cursor,
    key: dict[str, int],
    found: dict[int, int],
    measure: Callable[[Item], Measure] | None,
) -> Iterator[tuple[int, float]]:
    """Yield size and time of each item.

    :param found: the bytes of the items' contents, by number
    """
    if measure is None:
        yield from [(_UNKNOWN, _UNKNOWN)] * len(found)
        return
    seqs, at = list(found), 0
    for part in divide(seqs, list(found.values()), of=1):
        inside = numbers(seqs[at : at + part.items])
        cur.execute(_SQL["list_items"], {**key, "seqs": inside})
        for item in rows(cur, Item, identifier=bytes):
            size, modified = measure(item)
            yield (
                _UNKNOWN if size is None else size,
                _UNKNOWN if modified is None else modified.timestamp(),
            )
        at += part.items


def _move(
    cur: Cursor, key: dict[str, int], next_seq: int, chosen: dict[int, int | None]
) -> PlannedBatch:
    """Give the chosen items the next numbers, and make them a batch."""
    asked = {**key, "seqs": numbers(chosen), "next_seq": next_seq}
    cur.execute(_SQL["break_extents_of"], asked)
    cur.execute(_SQL["renumber"], asked)
    moved = rows(cur, _Moved)
    cur.execute(_SCREENING["advance_seq"], {**key, "count": len(moved)})
    cur.execute(
        _SQL["insert_canary"],
        {
            **asked,
            "items": len(moved),
            "bytes": sum(item.bytes for item in moved),
            "sizes": [chosen[item.seq] for item in moved],
        },
    )
    canary = one(cur, PlannedBatch)
    resumed = sum(item.run_id != key["run_id"] for item in moved)
    cur.execute(_SQL["count_resumed"], {**key, "resumed": resumed})
    reach(Point.CANARY_MOVED)
    return canary


def get_found(conn: Connection, batch_id: int) -> Found:
    """Return the results of a canary so far."""
    with executed(conn, _SQL["get_found"], batch_id=batch_id) as cur:
        return one(cur, Found)


def list_calls(conn: Connection, batch_id: int) -> list[CanaryCall]:
    """Return the calls of a canary in order."""
    with executed(conn, _SQL["list_calls"], batch_id=batch_id) as cur:
        return rows(cur, CanaryCall)


def list_ended(conn: Connection, batch_id: int) -> list[CallCount]:
    """Return the calls of a canary by outcome and cause."""
    with executed(conn, _SQL["list_ended"], batch_id=batch_id) as cur:
        return rows(cur, CallCount)
