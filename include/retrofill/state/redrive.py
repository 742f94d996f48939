"""Redrive: move items from quarantine back into the in-process cache."""

import json
from typing import NamedTuple, Self
from uuid import UUID

from retrofill.faults import Point, reach
from retrofill.model.errors import LeaseLost
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.state.connection import Connection, read_in_order, rows, transaction
from retrofill.state.locks import lock_job_for_items, lock_set
from retrofill.state.screening import PartitionState
from retrofill.state.statements import load
from retrofill.state.successes import count_redriven
from retrofill.state.triage import ALL_KEYS, Keys, conditions

_SQL = load("redrive.sql")
_SCREENING = load("screening.sql")

CHUNK_ITEMS = 10_000
"""Items of quarantine that are read in one transaction."""

CHUNK_BYTES = 16 * 2**20
"""Bytes of content after which no more items are moved in one transaction."""


class Position(NamedTuple):
    """The place of an item in the order of quarantine."""

    key: str
    identifier: str

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """Return the place of a cursor; None: before all items."""
        return cls(*json.loads(cursor)) if cursor else cls("", str(UUID(int=0)))

    @property
    def cursor(self) -> str:
        """The place, as the cursor of a partition."""
        return json.dumps(self)


class _Quarantined(NamedTuple):
    item_key: str
    identifier: str
    bytes: int
    is_chosen: bool
    """Whether the run selects it."""


class Redriven(NamedTuple):
    """The result of redriving a chunk; ``last`` is the last item that was read."""

    moved: int
    last: Position | None
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
    """Move the selected items of a chunk, and the partition's cursor, in one transaction.

    It reads only items that were in quarantine when the run was opened, so the run does not redrive
    an item that fails in it again. Like screening, it holds the lock on the job's row. Items keep
    their attempts and doubts, their failures count from 0 again, and their quarantine is recorded.

    :param partition: the partition after the last chunk
    :param after: the item after which this chunk begins
    :param only: further conditions on their keys
    :raises LeaseLost: another task has redriven more in the meantime
    """
    key = {**ref._asdict(), "part_no": part_no, "job_id": partition.job_id}
    with transaction(conn) as cur:
        next_seq = lock_job_for_items(cur, partition.job_id).next_seq
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
            raise LeaseLost(f"another task redrives quarantine for run {ref.run_id}")
    reach(Point.CHUNK_COMMITTED)
    return Redriven(len(chosen), last, full, done)
