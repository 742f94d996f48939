"""Redrive: the way of items from quarantine back into the in-process cache."""

import json
from typing import NamedTuple, Self
from uuid import UUID

from retrofill.faults import Point, reach
from retrofill.model.errors import LeaseLost
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.state.connection import Connection, read_in_order, rows, transaction
from retrofill.state.locks import lock_set, take_turn
from retrofill.state.screening import PartitionState
from retrofill.state.statements import load
from retrofill.state.successes import count_redriven
from retrofill.state.triage import ALL_KEYS, Keys, conditions

_SQL = load("redrive.sql")
_SCREENING = load("screening.sql")

CHUNK_ITEMS = 10_000
"""Items of quarantine that are looked at in one transaction."""

CHUNK_BYTES = 16 * 2**20
"""What the contents of the items take that are moved in one transaction, but for the last."""


class Position(NamedTuple):
    """An item's place in the order of quarantine."""

    key: str
    identifier: str

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """Return the place that a cursor names; None: before all items."""
        return cls(*json.loads(cursor)) if cursor else cls("", str(UUID(int=0)))

    @property
    def cursor(self) -> str:
        """The place as the cursor of a partition."""
        return json.dumps(self)


class _Quarantined(NamedTuple):
    """An item in quarantine."""

    item_key: str
    identifier: str
    bytes: int
    """What its content takes."""

    is_chosen: bool
    """Whether the run selects it."""


class Redriven(NamedTuple):
    """What became of a chunk of quarantine."""

    moved: int
    last: Position | None
    """The last item that was looked at; None: none was left."""

    set_is_full: bool
    done: bool


def redrive(
    conn: Connection,
    ref: SetRef,
    part_no: int,
    partition: PartitionState,
    *,
    after: Position,
    selection: Selection,
    only: Keys = ALL_KEYS,
) -> Redriven:
    """Move the items of a chunk that are chosen, and the partition's cursor, in one transaction.

    Only what was in quarantine when the run was opened is looked at, so what fails again in this
    run is not redriven by it. Like screening it holds the lock on the job's row. Attempts and
    doubts stay with an item, its failures begin anew, and what quarantine said of it is kept.

    :param partition: where the reading of quarantine stood, as of the last chunk
    :param after: where this chunk begins: behind that item
    :param selection: which of them are redriven
    :param only: which of these, besides, by their keys
    :raises LeaseLost: another task has read on meanwhile
    """
    key = {**ref._asdict(), "part_no": part_no, "job_id": partition.job_id}
    with transaction(conn) as cur:
        next_seq = take_turn(cur, partition.job_id).next_seq
        room = lock_set(cur, ref, part_no).items
        read_in_order(cur)
        cur.execute(
            _SQL["list_quarantined"],
            {
                **key,
                **conditions(selection, only),
                "after_key": after.key,
                "after_identifier": after.identifier,
                "most": CHUNK_ITEMS,
            },
        )
        found = rows(cur, _Quarantined)
        done = len(found) < CHUNK_ITEMS
        chosen: list[Position] = []
        last, full, content = None, False, 0
        for item_key, identifier, size, is_chosen in found:
            if content >= CHUNK_BYTES:
                done = False
                break
            place = Position(item_key, identifier)
            if is_chosen:
                if len(chosen) == room:
                    full = True
                    break
                chosen.append(place)
                content += size
            last = place
        if chosen:
            keys, identifiers = zip(*chosen, strict=True)
            cur.execute(
                _SQL["move"],
                {**key, "next_seq": next_seq, "chosen": [*keys], "identifiers": [*identifiers]},
            )
            count = {**key, "count": cur.rowcount}
            cur.execute(_SCREENING["advance_seq"], count)
            cur.execute(_SCREENING["fill_set"], count)
            count_redriven(cur, ref, count["count"])
        reach(Point.CHUNK_COPIED)
        cur.execute(
            _SCREENING["advance_partition"],
            {
                **dict.fromkeys(("listed", "new", "known", "late"), 0),
                "left_out": "{}",
                "run_id": ref.run_id,
                "part_no": part_no,
                "chunk_no": partition.chunk_no,
                "cursor": last.cursor if last else None,
                "recent": b"",
                "done": done and not full,
            },
        )
        if cur.rowcount != 1:
            message = f"quarantine is redriven for run {ref.run_id} by another task"
            raise LeaseLost(message)
    reach(Point.CHUNK_COMMITTED)
    return Redriven(len(chosen), last, full, done)
