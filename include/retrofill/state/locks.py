"""The locks on rows, in the order in which a transaction takes them.

1. The job. Whoever holds it is alone in bringing items into the job from outside, and in planning
   them (docs/adr/0001-screening-under-the-jobs-lock.md).
2. The run: its limits, and whether it is open.
3. The cap of its function, where runs share one: no row, but a lock by the function's name.
4. The set, and how many items it may still take.
5. Batches, by their numbers: who holds them, and what is left of them.
6. Whatever statements change beyond that: partitions, extents, items and calls.

Whoever takes several takes them in this order, so that no two transactions wait for each other.
There are two exceptions, both rare: taking over a finished batch that a person has cleared, and
settling for a batch that was taken over, lock the batch before the job. If Postgres finds a
deadlock there, it ends one of the two transactions, and that is tried again. Planning marks its set
last, behind batches: it holds the job, and nobody else locks batches behind a set.

Where nothing else is said, a lock is of the strength NO KEY UPDATE: inserts of rows that refer to
the locked one do not wait.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from retrofill.engine.ramp import Ramp
from retrofill.engine.shares import Standing
from retrofill.model.limits import Limits
from retrofill.model.runs import SetRef
from retrofill.state.connection import Cursor, find, one, values
from retrofill.state.statements import load

_SQL = load("locks.sql")


class Turn(NamedTuple):
    """What whoever holds the lock on a job's row finds."""

    next_seq: int
    """The number of the next item to enter."""

    isolation: str
    unordered: bool
    """Whether a source without order has screened for the job."""


class Room(NamedTuple):
    """What a set may still take, and what of a partition has been taken already."""

    items: int
    recent: bytes
    """Identifiers that are counted and may be listed again."""


class LockedBatch(NamedTuple):
    """A batch, as whoever locks it finds it."""

    job_id: int
    run_id: int
    first_seq: int
    last_seq: int
    items: int
    """How many it was planned with."""

    bytes: int
    """About what their contents took."""

    holder: str
    """Who has the lease, while it lasts."""

    leased_s: float
    """Seconds until its lease ends; 0: it has none."""

    done: bool


def keep_job(cur: Cursor, job_id: int) -> bool:
    """Keep a job from being deleted; return False if it is being forgotten, or is not there."""
    cur.execute(_SQL["keep_job"], {"job_id": job_id})
    return values(cur) == [True]


def lock_job(cur: Cursor, job_id: int) -> None:
    """Lock a job: nobody else brings items into it, or plans them."""
    cur.execute(_SQL["lock_job"], {"job_id": job_id})


def take_turn(cur: Cursor, job_id: int) -> Turn:
    """Lock a job to bring items into it.

    :raises StateError: there is no such job
    """
    lock_job(cur, job_id)
    return one(cur, Turn)


def lock_job_wholly(cur: Cursor, job_id: int) -> None:
    """Lock a job against every use, even that of :func:`keep_job`."""
    cur.execute(_SQL["lock_job_wholly"], {"job_id": job_id})


def lock_run(cur: Cursor, run_id: int) -> None:
    """Lock a run: none of its tasks renews a lease or is given a share."""
    cur.execute(_SQL["lock_run"], {"run_id": run_id})


def lock_standing(cur: Cursor, run_id: int) -> Standing:
    """Lock a run and return its limits, and what has become of them.

    :raises StateError: there is no such run
    """
    lock_run(cur, run_id)
    return one(cur, Standing, limits=Limits.from_json, ramp=Ramp.from_json_if_any)


def lock_set(cur: Cursor, ref: SetRef, part_no: int) -> Room:
    """Lock a set to add items of a partition to it.

    :raises StateError: there is no such set or partition
    """
    cur.execute(_SQL["lock_set"], {**ref._asdict(), "part_no": part_no})
    return one(cur, Room)


def lock_batch(cur: Cursor, batch_id: int) -> LockedBatch | None:
    """Lock a batch and return what is found; None if there is no such batch."""
    cur.execute(_SQL["lock_batch"], {"batch_id": batch_id})
    return find(cur, LockedBatch)


def lock_batches(cur: Cursor, run_id: int) -> None:
    """Lock the unfinished batches of a run."""
    cur.execute(_SQL["lock_batches"], {"run_id": run_id})


def lock_owners(cur: Cursor, settled: Mapping[str, Any]) -> None:
    """Lock a batch and all unfinished ones that cover items which it has settled.

    :param settled: ``job_id``, ``batch_id``, and the ``firsts`` and ``lasts`` of the items
    """
    cur.execute(_SQL["lock_owners"], settled)
