"""Portions: parts of a batch that are loaded one at a time, to limit a task's memory."""

from typing import Any, NamedTuple

from retrofill.engine.portions import Portion, divide, is_one
from retrofill.model.calls import History, Loaded
from retrofill.model.items import ItemColumns
from retrofill.state.connection import Cursor, one
from retrofill.state.locks import LockedBatch
from retrofill.state.statements import load

_SQL = load("portions.sql")

_SEPARATOR = "\x1e"


class BatchSize(NamedTuple):
    """The range of a batch, and its size when it was planned."""

    first_seq: int
    last_seq: int
    items: int
    bytes: int
    """The approximate size of its contents."""


class _Sizes(NamedTuple):
    seqs: list[int]
    sizes: list[int]


class _Items(NamedTuple):
    """The remaining items of a portion, as columns; None: no items remain."""

    first: int | None
    seqs: list[int] | None
    """None: the numbers have no gaps."""

    identifiers: bytes
    keys: list[str]
    contents: str
    """Joined with the control character 0x1E, which no content has."""

    carried: list[tuple[Any, ...]] | None
    """Items that earlier calls carried: the number, and the fields of its history."""


def divide_batch(
    cur: Cursor, job_id: int, batch: BatchSize | LockedBatch, *, of: int
) -> list[Portion]:
    """Divide what remains of a batch into portions; see :func:`.engine.portions.divide`.

    A batch that fits into one portion is not read.

    :param of: items per call
    """
    if is_one(batch.bytes):
        return [Portion(batch.first_seq, batch.last_seq, batch.items)]
    span = {"job_id": job_id, "first_seq": batch.first_seq, "last_seq": batch.last_seq}
    cur.execute(_SQL["list_sizes"], span)
    left = one(cur, _Sizes)
    return divide(left.seqs, left.sizes, of=of)


def load_portion(cur: Cursor, job_id: int, run_id: int, portion: Portion) -> Loaded:
    """Return the items of a portion that are still in the in-process cache.

    :param run_id: the run of the batch
    """
    # One row of columns: the task would need longer to read many rows than to encode the items.
    span = {"first_seq": portion.first_seq, "last_seq": portion.last_seq}
    cur.execute(_SQL["load_items"], {"job_id": job_id, "run_id": run_id, **span})
    left = one(cur, _Items)
    if left.first is None:
        return Loaded(range(0), [], {})
    return Loaded(
        left.seqs or range(left.first, left.first + len(left.keys)),
        ItemColumns(
            identifiers=bytes(left.identifiers),
            keys=left.keys,
            contents=left.contents.split(_SEPARATOR),
        ),
        {seq: History(*fields) for seq, *fields in left.carried or ()},
    )
