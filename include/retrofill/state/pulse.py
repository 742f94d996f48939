"""The pulse of runs: what tasks saw in slices of their run's time, added up."""

import json
from collections.abc import Sequence

from retrofill.model.pulse import Slice
from retrofill.state.connection import Cursor, aside, rows
from retrofill.state.statements import load

_SQL = load("pulse.sql")


def add_slices(
    cur: Cursor, batch_id: int, epoch: int, pulse_no: int, slices: Sequence[Slice]
) -> None:
    """Add what the holder of a batch saw, unless it has been added.

    If Postgres refuses that, it is lost: charts must not end a task.

    :param pulse_no: counts how often the holder has added something
    """
    with aside(cur, "what charts show"):
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
    """Return what the calls of a run did, slice by slice."""
    cur.execute(_SQL["list_slices"], {"run_id": run_id})
    return rows(cur, Slice)
