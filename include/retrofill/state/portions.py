"""Portions: what is left of a batch, a stretch at a time, so that no task holds all its content."""

from itertools import starmap
from typing import NamedTuple

from retrofill.engine.portions import Portion, divide
from retrofill.model.calls import History, Loaded
from retrofill.model.items import ItemColumns
from retrofill.state.connection import Cursor, one
from retrofill.state.statements import load

_SQL = load("portions.sql")

_BETWEEN = "\x1e"


class _Sizes(NamedTuple):
    """What the content of each item takes, in bytes."""

    seqs: list[int]
    sizes: list[int]


class _Items(NamedTuple):
    """The items of a portion that are left, as columns; None where none is left."""

    first: int | None
    seqs: list[int] | None
    """None: they have no holes."""

    identifiers: bytes
    keys: list[str]
    contents: str
    """With the control character 0x1E, which no content has, between two."""

    carried: list[int] | None
    """The numbers of those that calls have carried before; the rest is said of these."""

    attempts: list[int] | None
    failures: list[int] | None
    call_caps: list[int | None] | None
    unsures: list[bool] | None
    blamed: list[bool] | None
    delays_s: list[float] | None

    def histories(self) -> dict[int, History]:
        """Return what earlier calls left items with, by their numbers."""
        columns = (
            self.attempts,
            self.failures,
            self.call_caps,
            self.unsures,
            self.blamed,
            self.delays_s,
        )
        fields = zip(*(column or () for column in columns), strict=True)
        return dict(zip(self.carried or (), starmap(History, fields), strict=True))


def divide_batch(cur: Cursor, span: dict[str, int], *, of: int) -> list[Portion]:
    """Divide what is left of a batch; see :func:`retrofill.engine.portions.divide`.

    :param span: ``job_id``, ``first_seq`` and ``last_seq`` of the batch
    """
    cur.execute(_SQL["list_sizes"], span)
    left = one(cur, _Sizes)
    return divide(left.seqs, left.sizes, of=of)


def load_portion(cur: Cursor, job_id: int, run_id: int, portion: Portion) -> Loaded:
    """Return the items of a portion that are still in the in-process cache.

    :param run_id: the run whose batch they are in
    """
    # One row of columns: many rows would take longer to read than to write for the function.
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
            contents=left.contents.split(_BETWEEN),
        ),
        left.histories(),
    )
