"""Redrive of what has succeeded: its way from the results cache back into the in-process cache."""

import json
from collections.abc import Collection, Mapping
from typing import Any
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
    """Return the identifiers of those items that have succeeded and that a run redrives.

    What it has settled itself, and whatever was settled after its opening, is never among them: so
    no run redrives an item twice, however often it lists it.

    :param items: that are known
    """
    is_meant = matches(selection.key)
    asked = [item for item in items if is_meant(item.key)]
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
    """Move items from results into process, for whoever holds the lock on their job.

    Their attempts stay with them; what results said of them is kept.

    :param next_seq: the number of the first of them
    """
    key = {**ref._asdict(), "job_id": job_id, "next_seq": next_seq}
    cur.execute(
        _SQL["take_back"],
        {
            **key,
            "chosen": [item.key for item in items],
            "identifiers": [item.identifier.hex() for item in items],
            "contents": json.dumps({_uuid(item): item.content for item in items}),
        },
    )
    count = {**key, "count": cur.rowcount}
    cur.execute(_SQL["break_extents"], key)
    cur.execute(_SCREENING["advance_seq"], count)
    cur.execute(_SCREENING["fill_set"], count)
    count_redriven(cur, ref, count["count"])


def put_back(cur: Cursor, key: Mapping[str, Any]) -> None:
    """Put back into results what the first set of a run has taken and no call has carried since.

    :param key: job and run, the stretches of numbers, and the numbers that may not leave
    """
    cur.execute(_SQL["put_back"], key)
    if cur.rowcount:
        count_redriven(cur, SetRef(key["run_id"], 1), -cur.rowcount)


def count_redriven(cur: Cursor, ref: SetRef, count: int) -> None:
    """Add to the number of items that a set has redriven."""
    cur.execute(_SQL["count_redriven"], {**ref._asdict(), "count": count})


def _uuid(item: Item) -> str:
    return str(UUID(bytes=item.identifier))
