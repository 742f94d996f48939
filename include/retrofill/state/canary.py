"""The canary: its items get numbers of their own, so that they are a batch; what it has found."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

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
    find,
    one,
    rows,
    transaction,
    value,
    values,
)
from retrofill.state.locks import take_turn
from retrofill.state.statements import load

_SQL = load("canary.sql")
_SCREENING = load("screening.sql")

POOL_ITEMS = 100_000
"""Items that are measured, of a set with more: evenly apart, so that each has the same chance."""

_LOOK_ITEMS = 5_000
"""Items of which the bytes are looked up at once."""

_UNKNOWN = -1
"""The size or time of an item whose source does not tell it."""


class _Size(NamedTuple):
    """An item that may be chosen, and what its content takes."""

    seq: int
    bytes: int


class _Taken(NamedTuple):
    """An item that has got another number: the one it had, and whose it is."""

    seq: int
    run_id: int
    bytes: int


class Found(NamedTuple):
    """What became of the items of a canary so far."""

    items: int
    first_seq: int
    calls: int
    succeeded: int
    quarantined: int
    blamed: int
    """Items that failed alone, whether or not they succeeded later."""

    cost: float
    hints: list[str]
    sizes: list[int | None]
    done: bool
    troubles: dict[str, int]
    """Calls that did not succeed, by cause, else by outcome."""


class CanaryCall(NamedTuple):
    """A call of a canary."""

    first: bool
    """Whether it carried its items before all other calls."""

    items: int
    spans: list[tuple[int, int]]
    """The numbers of its items: from, and up to but without."""

    took_ms: int | None
    """None: it was not answered, or not measured."""

    billed_ms: int | None
    memory_mb: int | None
    init_ms: int | None
    held_ms: float | None
    """Milliseconds from writing it ahead to settling it; None: it is not settled."""


def find_canary(conn: Connection, run_id: int) -> PlannedBatch | None:
    """Return the batch of the canary of a run; None: it has none."""
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
    """Choose the canary of a run, and make its items a batch, unless it has one.

    Only what nobody owns is chosen, what no call has carried, and what no other run waits for: by
    its number, a call or a run would look for it in vain.

    :param take: how many items are wanted; there may be fewer
    :param measure: tells the size and the time of an item; None: its source tells none
    :returns: None if there is nothing to choose from, or if the run has batches already
    """
    key = {**ref._asdict(), "job_id": job_id}
    with transaction(conn) as cur:
        next_seq = take_turn(cur, job_id).next_seq
        cur.execute(_SQL["has_batches"], key)
        if value(cur):
            return _find(cur, ref.run_id)
        _, pieces = find_pieces(cur, ref.run_id, job_id)
        pool = _Pool(cur, key, measure)
        for seqs in _candidates(cur, job_id, pieces, rng):
            pool.add(seqs)
        chosen = pool.choose(take, rng)
        if not chosen:
            return None
        canary = _move(cur, key, next_seq, chosen)
    reach(Point.CANARY_CHOSEN)
    return canary


def _candidates(
    cur: Cursor, job_id: int, pieces: Sequence[Piece], rng: Random
) -> Iterator[list[int]]:
    """Yield the numbers of at most POOL_ITEMS items, evenly apart, a stretch at a time."""
    total = sum(piece.items for piece in pieces)
    ranks = systematic(total, POOL_ITEMS, rng)
    at = before = 0
    for piece in pieces:
        begin = at
        while at < len(ranks) and ranks[at] < before + piece.items:
            at += 1
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


class _Pool:
    """The items to choose from, as their numbers, sizes and times; nothing else of them is kept."""

    def __init__(
        self, cur: Cursor, key: dict[str, int], measure: Callable[[Item], Measure] | None
    ) -> None:
        self._cur = cur
        self._job_id = key["job_id"]
        self._measure = measure
        self._seqs = array("q")
        self._sizes = array("q")
        self._times = array("d")
        cur.execute(_SQL["get_awaited"], key)
        self._awaited = value(cur)

    def add(self, seqs: Sequence[int]) -> None:
        """Measure those of some items that may be chosen."""
        asked = {"job_id": self._job_id, "seqs": numbers(seqs)}
        self._cur.execute(_SQL["list_sizes"], {**asked, "awaited": self._awaited})
        found = rows(self._cur, _Size)
        self._seqs.extend(item.seq for item in found)
        if self._measure is None:
            self._sizes.extend(_UNKNOWN for _ in found)
            self._times.extend(float(_UNKNOWN) for _ in found)
            return
        at = 0
        for part in divide([item.seq for item in found], [item.bytes for item in found], of=1):
            inside = numbers(item.seq for item in found[at : at + part.items])
            self._cur.execute(_SQL["list_items"], {"job_id": self._job_id, "seqs": inside})
            for item in rows(self._cur, Item, identifier=bytes):
                size, modified = self._measure(item)
                self._sizes.append(_UNKNOWN if size is None else size)
                self._times.append(_UNKNOWN if modified is None else modified.timestamp())
            at += part.items

    def choose(self, take: int, rng: Random) -> dict[int, int | None]:
        """Choose so many; return the size of each by its number, None where nobody tells it."""
        if not self._seqs:
            return {}
        # What is the same for all says nothing: the keys have its part, too.
        columns = [self._seqs, *(one for one in (self._sizes, self._times) if max(one) > min(one))]
        places = choose(columns, take, rng)
        return {
            self._seqs[at]: None if self._sizes[at] == _UNKNOWN else self._sizes[at]
            for at in places
        }


def _move(
    cur: Cursor, key: dict[str, int], next_seq: int, chosen: dict[int, int | None]
) -> PlannedBatch:
    """Give the chosen items the next numbers, and make a batch of these."""
    asked = {**key, "seqs": numbers(chosen), "next_seq": next_seq}
    cur.execute(_SQL["break_extents_of"], asked)
    cur.execute(_SQL["renumber"], asked)
    taken = rows(cur, _Taken)
    cur.execute(_SCREENING["advance_seq"], {**key, "count": len(taken)})
    batch: dict[str, Any] = {
        "items": len(taken),
        "bytes": sum(item.bytes for item in taken),
        "sizes": [chosen[item.seq] for item in taken],
    }
    cur.execute(_SQL["insert_canary"], {**asked, **batch})
    canary = one(cur, PlannedBatch)
    resumed = sum(item.run_id != key["run_id"] for item in taken)
    cur.execute(_SQL["count_resumed"], {**key, "resumed": resumed})
    reach(Point.CANARY_MOVED)
    return canary


def get_found(conn: Connection, batch_id: int) -> Found:
    """Return what became of the items of a canary so far."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_found"], {"batch_id": batch_id})
        return one(cur, Found)


def list_calls(conn: Connection, batch_id: int) -> list[CanaryCall]:
    """Return the calls of a canary in order."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_calls"], {"batch_id": batch_id})
        return rows(cur, CanaryCall)


def list_ended(conn: Connection, batch_id: int) -> list[CallCount]:
    """Return how many calls of a canary ended in each way."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_ended"], {"batch_id": batch_id})
        return rows(cur, CallCount)
