"""Lost calls: their task ended before it settled them, and they may still be running."""

from retrofill.engine.outcomes import LOST, NO_ANSWER
from retrofill.model.calls import Settlement
from retrofill.state.connection import Cursor
from retrofill.state.statements import load

_SQL = load("lost_calls.sql")

LOST_KEPT = 10
"""How many lost calls of a batch are kept by number: the last ones."""


def mark_calls_lost(cur: Cursor, batch_ids: list[int]) -> None:
    """Count the unsettled calls of batches as lost, and their items as in doubt."""
    if batch_ids:
        error = "the task that sent the call ended before it settled it; the function may have run"
        cur.execute(
            _SQL["mark_calls_lost"],
            {"batch_ids": batch_ids, "error_type": LOST, "error": error, "calls_kept": LOST_KEPT},
        )
        count_orphans(cur, batch_ids)


def count_orphans(cur: Cursor, batch_ids: list[int]) -> None:
    """Count the calls that may still be running and that no task waits for."""
    cur.execute(_SQL["count_orphans"], {"batch_ids": batch_ids, "no_answer": NO_ANSWER})


def count_silent(cur: Cursor, run_id: int) -> None:
    """Record until when the calls of silent holders of a run may be running.

    It waits for no lock: a holder that has one is about to renew its lease.
    """
    cur.execute(_SQL["count_silent"], {"run_id": run_id, "no_answer": NO_ANSWER})


def recount_cost(cur: Cursor, batch_id: int, late: Settlement) -> None:
    """Replace the upper bound of the cost of lost calls with their cost, once they are settled."""
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
