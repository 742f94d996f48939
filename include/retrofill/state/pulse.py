"""The pulse of runs: what their tasks saw per time slice, added up."""

import json
from collections.abc import Sequence

from retrofill.model.pulse import Slice
from retrofill.state.connection import Cursor, optional, rows
from retrofill.state.statements import load

_SQL = load("pulse.sql")


def add_slices(
    cur: Cursor, batch_id: int, epoch: int, pulse_no: int, slices: Sequence[Slice]
) -> None:
    """Add slices of a batch's holder once.

    If Postgres refuses them, they are lost: charts must not fail a task.

    :param pulse_no: how often this holder has added slices, so that a retry does not add them twice
    """
    with optional(cur, "what charts show"):
        cur.execute(
            _SQL["add_slices"],
            {
                "batch_id": batch_id,
                "epoch": epoch,
                "pulse_no": pulse_no,
                "slices": json.dumps([one._asdict() for one in slices]),
            },
        )


def list_slices(cur: Cursor, run_id: int) -> list[Slice]:
    """Return the slices of a run in order."""
    cur.execute(_SQL["list_slices"], {"run_id": run_id})
    return rows(cur, Slice)
