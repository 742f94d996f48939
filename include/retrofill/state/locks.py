"""Row locks, in the order in which every transaction takes them.

1. The job. Only its holder may bring items into the job from outside, or plan them
   (docs/adr/0001-screening-under-the-jobs-lock.md).
2. The run: its limits, and whether it is open.
3. The cap of its function, if runs share one. This is an advisory lock on the function's name.
4. The set, and how many items it may still take.
5. Batches, by number: their holders, and what is left of them.
6. Everything else that statements change: partitions, extents, items and calls.

This order prevents deadlocks. There are two exceptions, both rare: a cleared task that takes over a
finished batch, and settling for a batch that was taken over. Both lock the batch before the job. If
Postgres finds a deadlock there, it ends one of the two transactions, which is tried again. Planning
marks its set last, after batches. It holds the job, and nothing else locks batches after a set.

Unless stated otherwise, locks have the strength NO KEY UPDATE: they do not block inserts of rows
that refer to the locked one.
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


class LockedJob(NamedTuple):
    """A locked job."""

    next_seq: int
    """The number that its next item gets."""

    isolation: str
    unordered: bool
    """Whether a source without order has screened for the job."""


class Room(NamedTuple):
    """The room in a locked set, and the recent items of a partition."""

    items: int
    recent: bytes
    """Identifiers that were counted and may be listed again."""


class LockedBatch(NamedTuple):
    """A locked batch."""

    job_id: int
    run_id: int
    first_seq: int
    last_seq: int
    items: int
    """Items that it was planned with."""

    bytes: int
    """The approximate size of their contents."""

    holder: str
    leased_s: float
    """Seconds until the lease ends; 0: nobody has the lease."""

    done: bool


def keep_job(cur: Cursor, job_id: int) -> bool:
    """Prevent that a job is deleted; return False if it is being forgotten, or does not exist."""
    cur.execute(_SQL["keep_job"], {"job_id": job_id})
    return values(cur) == [True]


def lock_job(cur: Cursor, job_id: int) -> None:
    """Lock a job, so that nothing else brings items into it or plans them."""
    cur.execute(_SQL["lock_job"], {"job_id": job_id})


def lock_job_for_items(cur: Cursor, job_id: int) -> LockedJob:
    """Lock a job to bring items into it.

    :raises StateError: there is no such job
    """
    lock_job(cur, job_id)
    return one(cur, LockedJob)


def lock_job_wholly(cur: Cursor, job_id: int) -> None:
    """Lock a job against every use, including :func:`keep_job`."""
    cur.execute(_SQL["lock_job_wholly"], {"job_id": job_id})


def lock_run(cur: Cursor, run_id: int) -> None:
    """Lock a run, so that none of its tasks renews a lease or gets a share."""
    cur.execute(_SQL["lock_run"], {"run_id": run_id})


def lock_standing(cur: Cursor, run_id: int) -> Standing:
    """Lock a run and return its limits, and how far it has used them.

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
    """Lock a batch and return it; None: there is no such batch."""
    cur.execute(_SQL["lock_batch"], {"batch_id": batch_id})
    return find(cur, LockedBatch)


def lock_batches(cur: Cursor, run_id: int) -> None:
    """Lock the unfinished batches of a run."""
    cur.execute(_SQL["lock_batches"], {"run_id": run_id})


def lock_owners(cur: Cursor, settled: Mapping[str, Any]) -> None:
    """Lock a batch, and all unfinished batches that cover items which it settled.

    :param settled: ``job_id``, ``batch_id``, and the ``firsts`` and ``lasts`` of the items
    """
    cur.execute(_SQL["lock_owners"], settled)
