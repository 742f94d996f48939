"""Redrive of succeeded items: move them from the results cache back into the in-process cache."""

import json
from collections.abc import Collection
from uuid import UUID

from retrofill.engine.taking import identifiers_in
from retrofill.model.globs import matches
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.state.connection import Cursor, value
from retrofill.state.statements import load
from retrofill.state.triage import conditions

_SQL = load("successes.sql")
_SCREENING = load("screening.sql")


def find_selected(
    cur: Cursor, job_id: int, run_id: int, selection: Selection, items: Collection[Item]
) -> frozenset[bytes]:
    """Return the identifiers of succeeded items that a run redrives.

    Items that were settled by this run, or after it was opened, are not among them. So no run
    redrives an item twice, however often it lists it.

    :param items: known items
    """
    is_selected = matches(selection.key)
    asked = [item for item in items if is_selected(item.key)]
    if not asked:
        return frozenset()
    cur.execute(
        _SQL["find_selected"],
        {
            **conditions(selection),
            "job_id": job_id,
            "run_id": run_id,
            "listed": [item.key for item in asked],
            "identifiers": [item.identifier.hex() for item in asked],
        },
    )
    return frozenset(identifiers_in(value(cur) or b""))


def take_back(
    cur: Cursor, ref: SetRef, job_id: int, next_seq: int, items: Collection[Item]
) -> None:
    """Move items from the results cache into process, under the lock on their job.

    They keep their attempts, and their earlier success is recorded.

    :param next_seq: the number of the first one
    """
    key = {**ref._asdict(), "job_id": job_id, "next_seq": next_seq}
    cur.execute(
        _SQL["take_back"],
        {
            **key,
            "chosen": [item.key for item in items],
            "identifiers": [item.identifier.hex() for item in items],
            "contents": json.dumps(
                {str(UUID(bytes=item.identifier)): item.content for item in items}
            ),
        },
    )
    count = {**key, "count": cur.rowcount}
    cur.execute(_SQL["break_extents"], key)
    cur.execute(_SCREENING["advance_seq"], count)
    cur.execute(_SCREENING["fill_set"], count)
    count_redriven(cur, ref, count["count"])


def count_redriven(cur: Cursor, ref: SetRef, count: int) -> None:
    """Add to the redriven items of a set."""
    cur.execute(_SQL["count_redriven"], {**ref._asdict(), "count": count})
