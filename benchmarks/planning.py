"""The cost of planning: new items with stale statistics, and the items of an abandoned run.

Run ``make bench-planning``. It starts a separate Postgres with the settings of the embedded stack.
For each size, a small run fills the in-process cache and empties it again. Then ANALYZE runs, as
autovacuum does at the end of a run. A second run finds this many new items, plans them, and is
abandoned when half of each batch is settled. A third run plans the other half.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext

from retrofill.model.runs import SetRef
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.state.connection import Connection

from benchmarks import runs
from benchmarks.command import FailedError, exit_code, say, sizes_asked
from benchmarks.measure import Stopwatch
from benchmarks.server import Database, number
from benchmarks.sources import Generated
from benchmarks.table import table
from stack.services import temporary_postgres
from tests.integration.opened import StillAirflow

FIRST_ITEMS = 10_000
"""Items of the first run."""

HEADS = (
    "new items", "screening, s", "planning, s", "batches", "left", "planning them, s", "batches",
)  # fmt: skip


ALL_ENDED = StillAirflow(lambda _dag_id, _dag_run_ids: False)


def measure(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of the table.

    :raises FailedError: the batches do not have all items
    """
    with temporary_postgres(durable=True) as server:
        yield from table(HEADS, [_measure(Database(server), items) for items in sizes])


def _measure(database: Database, items: int) -> list[str]:
    say(f"{items:,} items")
    database.create(autovacuum=False)
    with closing(database.connect()) as conn:
        first, _ = runs.screen(conn, Generated(FIRST_ITEMS), nullcontext())
        _, batch_ids = _planned(conn, first, FIRST_ITEMS)
        for batch_id in batch_ids:
            runs.settle(conn, batch_id, nullcontext())
        _do(conn, "ANALYZE retrofill.in_process, retrofill.extent, retrofill.batch")
        screening = Stopwatch(conn)
        second, _ = runs.screen(conn, Generated(items, first=FIRST_ITEMS), screening)
        planning_s, batch_ids = _planned(conn, second, items)
        left = items
        for batch_id in batch_ids:
            half = _items_of(conn, batch_id) // 2
            left -= runs.settle(conn, batch_id, nullcontext(), most_items=half)
        _do(conn, "UPDATE retrofill.batch SET leased_until = NULL")
        third, _ = runs.screen(conn, Generated(0), nullcontext())
        rest_s, rest = _planned(conn, third, left)
    return [
        f"{items:,}", f"{screening.seconds:.2f}", f"{planning_s:.2f}", f"{len(batch_ids)}",
        f"{left:,}", f"{rest_s:.2f}", f"{len(rest)}",
    ]  # fmt: skip


def _planned(conn: Connection, ref: SetRef, items: int) -> tuple[float, list[int]]:
    """Return the seconds that planning takes, and the batches."""
    began = time.perf_counter()
    planned = plan_batches(conn, ref, ALL_ENDED)
    seconds = time.perf_counter() - began
    batch_ids = [batch["batch_id"] for batch in planned]
    held = sum(_items_of(conn, batch_id) for batch_id in batch_ids)
    if held != items:
        raise FailedError(f"the batches have {held:,} items, not {items:,}")
    return seconds, batch_ids


def _items_of(conn: Connection, batch_id: int) -> int:
    return number(conn, f"SELECT items FROM retrofill.batch WHERE batch_id = {batch_id}")  # noqa: S608  a number of ours


def _do(conn: Connection, statement: str) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(statement)


if __name__ == "__main__":
    asked = sizes_asked("benchmarks.planning", __doc__, [300_000, 1_000_000])
    sys.exit(exit_code(measure(asked)))
