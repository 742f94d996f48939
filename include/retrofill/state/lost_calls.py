"""Lost calls: sent by a task that ended before it settled them, and perhaps running still."""

from retrofill.engine.outcomes import LOST, NO_ANSWER
from retrofill.model.calls import Settlement
from retrofill.state.connection import Cursor
from retrofill.state.statements import load

_SQL = load("lost_calls.sql")

LOST_KEPT = 10
"""Lost calls of a batch that are kept by their numbers: the last ones."""


def mark_calls_lost(cur: Cursor, batch_ids: list[int]) -> None:
    """Count the calls of batches that nobody settled as lost, and their items as in doubt."""
    if batch_ids:
        error = "the task that sent the call ended before it settled it; the function may have run"
        cur.execute(
            _SQL["mark_calls_lost"],
            {"batch_ids": batch_ids, "error_type": LOST, "error": error, "calls_kept": LOST_KEPT},
        )
        count_orphans(cur, batch_ids)


def count_orphans(cur: Cursor, batch_ids: list[int]) -> None:
    """Count the calls that nobody waits for and that may still be running."""
    cur.execute(_SQL["count_orphans"], {"batch_ids": batch_ids, "no_answer": NO_ANSWER})


def count_silent(cur: Cursor, run_id: int) -> None:
    """Note until when the calls may run that holders of a run have in flight who went silent.

    Waits for no lock: a holder that has one is about to show that it is not silent.
    """
    cur.execute(_SQL["count_silent"], {"run_id": run_id, "no_answer": NO_ANSWER})


def recount_cost(cur: Cursor, batch_id: int, late: Settlement) -> None:
    """Count what calls cost that had been counted as lost, instead of the most they could."""
    cur.execute(
        _SQL["recount_cost"],
        {
            "batch_id": batch_id,
            "calls": len(late.ended),
            "items": sum(call.items for call in late.ended),
            "cost": late.cost,
            "from_above": late.cost_from_above,
        },
    )
