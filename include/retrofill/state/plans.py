"""Plans: the batches that a survey of a set reads, and the stored plan of a run."""

import json
from collections.abc import Iterator
from datetime import datetime

from retrofill.faults import Point, reach
from retrofill.model.calls import Loaded
from retrofill.model.plan import RunPlan
from retrofill.model.runs import SetRef
from retrofill.state.connection import Connection, execute, executed, rows, transaction, value
from retrofill.state.portions import BatchSize, divide_batch, load_portion
from retrofill.state.statements import load

_SQL = load("plans.sql")


def loaded_batches(
    conn: Connection, ref: SetRef, job_id: int, *, of: int
) -> Iterator[Iterator[Loaded]]:
    """Yield the batches of a set, each as the portions that its invoke task will load.

    :param of: items per call
    """
    with executed(conn, _SQL["list_batches"], **ref._asdict()) as cur:
        batches = rows(cur, BatchSize)
    for batch in batches:
        yield _portions(conn, job_id, ref.run_id, batch, of)


def _portions(
    conn: Connection, job_id: int, run_id: int, batch: BatchSize, of: int
) -> Iterator[Loaded]:
    with transaction(conn) as cur:
        portions = divide_batch(cur, job_id, batch, of=of)
    for portion in portions:
        with transaction(conn) as cur:
            loaded = load_portion(cur, job_id, run_id, portion)
        yield loaded


def count_canary(conn: Connection, run_id: int) -> int:
    """Return how many items of a run its canary will call."""
    with executed(conn, _SQL["count_canary"], run_id=run_id) as cur:
        return int(value(cur))


def store_plan(conn: Connection, run_id: int, plan: RunPlan) -> None:
    """Store the plan of an open run."""
    execute(conn, _SQL["store_plan"], run_id=run_id, plan=json.dumps(plan.as_json()))
    reach(Point.PLAN_STORED)


def read_clock(conn: Connection) -> datetime:
    """Return the current time of the database server."""
    with executed(conn, _SQL["get_time"]) as cur:
        now: datetime = value(cur)
        return now


def database_size(conn: Connection) -> int:
    """Return the size of the state's database in bytes."""
    with executed(conn, _SQL["get_database_size"]) as cur:
        return int(value(cur))
