"""What planning costs: new items beside stale statistics, and what an abandoned run left behind.

Run ``make bench-planning``. A Postgres of its own comes up, set as that of the embedded stack is.
For each size, a small run fills the in-process cache and empties it again, and ANALYZE looks at it
then, as autovacuum does at the end of a run. A second run finds so many new items, plans them, and
is abandoned when half of each batch is settled. A third run plans what is left.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext

from retrofill.model.errors import StateError, StateUnavailable
from retrofill.model.runs import SetRef
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.state.connection import Connection
from retrofill.state.upkeep import OpenRun

from benchmarks.screening.server import Database, WrongCountError, own_server
from benchmarks.screening.work import Generated, count, screen, settle_batch
from benchmarks.table import table
from stack.settings import StackError

FIRST_ITEMS = 10_000
"""Items of the run before."""

HEADS = (
    "new items",
    "screening, s",
    "planning, s",
    "batches",
    "left",
    "planning them, s",
    "batches",
)

_ANALYZE = "ANALYZE retrofill.in_process, retrofill.extent, retrofill.batch"
# What autovacuum would do in between differs from one measurement to the next.
_LEAVE_ALONE = "ALTER TABLE retrofill.in_process SET (autovacuum_enabled = false)"
_END_LEASES = "UPDATE retrofill.batch SET leased_until = NULL"


class _AirflowAfterwards:
    """An Airflow that has ended every other DAG run, so that a run takes over what others left."""

    most_mapped = 1_024

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        del dag_id, dag_run_ids
        return False

    def tell_abandoned(self, conn: Connection, run: OpenRun) -> None:
        del conn
        print(f"run {run.run_id} was abandoned", file=sys.stderr)

    def tell_if_paused(self, conn: Connection, run: OpenRun) -> None:
        """Say nothing: no DAG is paused."""


def main() -> int:
    """Measure and print; return the exit code."""
    arguments = _arguments()
    try:
        with own_server() as server:
            rows = [
                _measure(Database(server), items, arguments.patience) for items in arguments.sizes
            ]
        for line in table(HEADS, rows):
            print(line)
    except (StackError, StateError, WrongCountError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(database: Database, items: int, patience_s: int) -> list[str]:
    """Return a line of the table.

    :raises WrongCountError: items were lost on the way into batches
    """
    print(f"{items:,} items", file=sys.stderr)
    database.fresh()
    with closing(database.connect()) as conn:
        _do(conn, f"SET statement_timeout = '{patience_s}s'")
        _do(conn, _LEAVE_ALONE)
        first, _ = screen(conn, Generated(FIRST_ITEMS), FIRST_ITEMS, nullcontext())
        for batch_id in _planned(conn, first, FIRST_ITEMS):
            settle_batch(conn, batch_id, nullcontext())
        _do(conn, _ANALYZE)
        began = time.perf_counter()
        second, _ = screen(conn, Generated(items, first=FIRST_ITEMS), items, nullcontext())
        screening_s = time.perf_counter() - began
        planning_s, batch_ids = _timed(conn, lambda: _planned(conn, second, items))
        if planning_s is None:
            _do(conn, _ANALYZE)
            batch_ids = _planned(conn, second, items)
        settled = sum(_settle_half(conn, batch_ids))
        _do(conn, _END_LEASES)
        third, _ = screen(conn, Generated(0), 1, nullcontext())
        left = items - settled
        rest_s, rest = _timed(conn, lambda: _planned(conn, third, left))
    seconds = [f"> {patience_s}" if one is None else f"{one:.2f}" for one in (planning_s, rest_s)]
    return [
        f"{items:,}", f"{screening_s:.2f}", seconds[0], str(len(batch_ids)), f"{left:,}",
        seconds[1], str(len(rest)),
    ]  # fmt: skip


def _timed(conn: Connection, plan: Callable[[], list[int]]) -> tuple[float | None, list[int]]:
    """Return the seconds that planning takes, and the batches; None: it was given up."""
    began = time.perf_counter()
    try:
        planned = plan()
    except StateUnavailable:
        conn.rollback()
        return None, []
    return time.perf_counter() - began, planned


def _planned(conn: Connection, ref: SetRef, items: int) -> list[int]:
    batch_ids = [batch["batch_id"] for batch in plan_batches(conn, ref, _AirflowAfterwards())]
    held = count(
        conn,
        "SELECT coalesce(sum(items), 0) FROM retrofill.batch"  # noqa: S608  a number of ours
        f" WHERE run_id = {ref.run_id}",
    )
    if held != items:
        raise WrongCountError(f"batches hold {held:,} items, not {items:,}")
    return batch_ids


def _settle_half(conn: Connection, batch_ids: list[int]) -> Iterator[int]:
    for batch_id in batch_ids:
        items = count(
            conn,
            f"SELECT items FROM retrofill.batch WHERE batch_id = {batch_id}",  # noqa: S608  as above
        )
        yield settle_batch(conn, batch_id, nullcontext(), most_items=items // 2)


def _do(conn: Connection, statement: str) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(statement)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planning", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[300_000, 1_000_000])
    parser.add_argument(
        "--patience", type=int, default=300, help="seconds after which a statement is given up"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
