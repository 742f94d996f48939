"""Batches: cut items in process into batches, and release unfinished ones."""

from typing import NamedTuple

from retrofill.engine.batching import MAX_BATCHES, Batch, Edge, Piece, cut, edges_to_look_up
from retrofill.faults import Point, reach
from retrofill.model.runs import SetRef
from retrofill.state import runs
from retrofill.state.arrays import numbers
from retrofill.state.connection import (
    Connection,
    Cursor,
    executed,
    read_in_order,
    rows,
    transaction,
    value,
    values,
)
from retrofill.state.locks import lock_batches, lock_job, lock_run
from retrofill.state.lost_calls import mark_calls_lost
from retrofill.state.statements import load
from retrofill.state.waiting import list_open_runs

_SQL = load("batches.sql")


class PlannedBatch(NamedTuple):
    """A planned batch."""

    batch_id: int
    items: int


def plan(
    conn: Connection,
    ref: SetRef,
    job_id: int,
    *,
    most_items: int,
    fewest_items: int,
    batches_allowed: int = 2 * MAX_BATCHES,
) -> list[PlannedBatch]:
    """Cut a job's items without an owner into batches; return all batches of the set.

    :param most_items: items per batch, unless that makes too many batches
    :param fewest_items: items per batch below which no further batches are made
    """
    key = {**ref._asdict(), "job_id": job_id}
    with transaction(conn) as cur:
        lock_job(cur, job_id)
        others, pieces = find_pieces(cur, ref.run_id, job_id)
        batches = cut(pieces, most=most_items, fewest=fewest_items, batches_allowed=batches_allowed)
        _insert(cur, key, batches)
        cur.execute(_SQL["break_extents"], {**key, "others": others})
        resumed = sum(piece.items for piece in pieces if piece.run_id != ref.run_id)
        cur.execute(_SQL["mark_planned"], {**key, "resumed": resumed})
        cur.execute(_SQL["list_batches"], key)
        planned = rows(cur, PlannedBatch)
    reach(Point.BATCHES_PLANNED)
    return planned


def find_pieces(cur: Cursor, run_id: int, job_id: int) -> tuple[list[int], list[Piece]]:
    """Return a job's items without an owner, under the lock on the job.

    :returns: the other open runs of the job, and the items as pieces in order
    """
    key = {"run_id": run_id, "job_id": job_id}
    read_in_order(cur)
    cur.execute(_SQL["forget_extents"], key)
    others = [other for other in list_open_runs(cur, job_id) if other != run_id]
    cur.execute(_SQL["list_pieces"], {**key, "others": others})
    return others, rows(cur, Piece)


def _insert(cur: Cursor, key: dict[str, int], batches: list[Batch]) -> None:
    """Insert batches. Where numbers have gaps, their first and last ones are looked up before."""
    places = edges_to_look_up(batches)
    seqs: dict[Edge, int] = {}
    if places:
        bounds = {
            "firsts": numbers(place.piece.first_seq for place in places),
            "lasts": numbers(place.piece.last_seq for place in places),
            "ranks": numbers(place.rank for place in places),
        }
        cur.execute(_SQL["list_numbers"], {**key, **bounds})
        seqs = dict(zip(places, values(cur), strict=True))

    def seq_of(place: Edge) -> int:
        return seqs[place] if place.seq is None else place.seq

    cur.execute(
        _SQL["insert_batches"],
        {
            **key,
            "firsts": numbers(seq_of(batch.first) for batch in batches),
            "lasts": numbers(seq_of(batch.last) for batch in batches),
            "items": numbers(batch.items for batch in batches),
            "bytes": numbers(batch.bytes for batch in batches),
        },
    )


def release_set(conn: Connection, ref: SetRef) -> None:
    """Release the unfinished batches of a set; their unsettled calls count as lost."""
    with transaction(conn) as cur:
        _release(cur, ref.run_id, ref.set_no)


def release_run(conn: Connection, run_id: int) -> None:
    """Release the unfinished batches of a run, as :func:`release_set` does."""
    with transaction(conn) as cur:
        _release(cur, run_id)


def _release(cur: Cursor, run_id: int, set_no: int | None = None) -> None:
    cur.execute(_SQL["release_batches"], {"run_id": run_id, "set_no": set_no})
    mark_calls_lost(cur, values(cur))


def is_held(conn: Connection, run_id: int) -> bool:
    """Return whether a task holds the lease of a batch of a run."""
    with executed(conn, _SQL["is_held"], run_id=run_id) as cur:
        return bool(value(cur))


def rescue_run(conn: Connection, run_id: int, job_id: int) -> str | None:
    """Release the unfinished batches of a run and close it, if no task holds a batch.

    Unsettled calls count as lost, as when another task takes over a batch.

    :returns: the state in which it was closed; None: a task holds a batch, or it was closed already
    """
    with transaction(conn) as cur:
        # With these locks no task renews a lease, takes a batch or plans one. Only statements that
        # begin after them can rely on what they read.
        lock_job(cur, job_id)
        lock_run(cur, run_id)
        lock_batches(cur, run_id)
        cur.execute(_SQL["is_held"], {"run_id": run_id})
        if value(cur):
            return None
        _release(cur, run_id)
        if not runs.is_open(cur, run_id):
            return None
        runs.conclude(cur, run_id)
        return runs.read_report(cur, run_id).status
