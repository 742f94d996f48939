"""Batches: cutting what is in process into them, and giving back what they did not finish."""

from typing import NamedTuple

from retrofill.engine.batching import MAX_BATCHES, Batch, Edge, Piece, cut, edges_to_look_up
from retrofill.faults import Point, reach
from retrofill.model.runs import SetRef
from retrofill.state import runs
from retrofill.state.arrays import numbers
from retrofill.state.connection import (
    Connection,
    Cursor,
    read_in_order,
    rows,
    transaction,
    value,
    values,
)
from retrofill.state.locks import lock_batches, lock_job, lock_run
from retrofill.state.lost_calls import mark_calls_lost
from retrofill.state.statements import load

_SQL = load("batches.sql")


class PlannedBatch(NamedTuple):
    """A batch that waits for its invoke task."""

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
    """Cut the job's items that nobody owns into batches; return all batches of the set.

    :param most_items: items of a batch, unless that made too many batches
    :param fewest_items: items below which a batch is not made smaller to have more of them
    :param batches_allowed: the most there may be
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
    """Find the items of a job that nobody owns, for whoever holds its lock.

    :returns: the other open runs of the job, and the items as pieces in order
    """
    key = {"run_id": run_id, "job_id": job_id}
    read_in_order(cur)
    cur.execute(_SQL["forget_extents"], key)
    cur.execute(_SQL["list_open_runs"], key)
    others = values(cur)
    cur.execute(_SQL["list_pieces"], {**key, "others": others})
    return others, rows(cur, Piece)


def _insert(cur: Cursor, key: dict[str, int], batches: list[Batch]) -> None:
    """Insert batches, having looked up the numbers of the edges that lie among holes."""
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
    """Give back what a set's batches did not finish; their unsettled calls count as lost."""
    with transaction(conn) as cur:
        cur.execute(_SQL["release_batches"], ref._asdict())
        mark_calls_lost(cur, values(cur))


def release_run(conn: Connection, run_id: int) -> None:
    """Do the same for all sets of a run."""
    with transaction(conn) as cur:
        cur.execute(_SQL["release_batches"], {"run_id": run_id, "set_no": None})
        mark_calls_lost(cur, values(cur))


def is_held(conn: Connection, run_id: int) -> bool:
    """Return whether a task holds the lease of a batch of a run."""
    with transaction(conn) as cur:
        cur.execute(_SQL["is_held"], {"run_id": run_id})
        return bool(value(cur))


def rescue_run(conn: Connection, run_id: int, job_id: int) -> str | None:
    """Free what the batches of a run did not finish if no task holds one, and close the run.

    Calls that were not settled count as lost, as when another task takes a batch over.

    :returns: the state in which it is closed; None: it is held, or was closed already
    """
    key = {"run_id": run_id, "set_no": None}
    with transaction(conn) as cur:
        # With these locks no task renews a lease, takes a batch or plans one; only what a
        # statement sees that begins behind them is sure.
        lock_job(cur, job_id)
        lock_run(cur, run_id)
        lock_batches(cur, run_id)
        cur.execute(_SQL["is_held"], key)
        if value(cur):
            return None
        cur.execute(_SQL["release_batches"], key)
        mark_calls_lost(cur, values(cur))
        cur.execute(_SQL["is_open"], key)
        if values(cur) != [True]:
            return None
        runs.conclude(cur, run_id)
        return runs.read_report(cur, run_id).status
