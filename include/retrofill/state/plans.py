"""Plans: what a survey of a set reads, and the plan of a run as its row holds it."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from retrofill.engine.portions import Portion, is_one
from retrofill.faults import Point, reach
from retrofill.model.calls import Loaded
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.runs import SetRef
from retrofill.state.connection import Connection, rows, transaction, value
from retrofill.state.portions import divide_batch, load_portion
from retrofill.state.statements import load

_SQL = load("plans.sql")


class _Batch(NamedTuple):
    """A batch that waits for its calls."""

    first_seq: int
    last_seq: int
    items: int
    bytes: int


def loaded_batches(
    conn: Connection, ref: SetRef, job_id: int, *, of: int
) -> Iterator[Iterator[Loaded]]:
    """Yield the batches of a set, each as the portions that its invoke task will load.

    :param of: items of a call
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["list_batches"], ref._asdict())
        batches = rows(cur, _Batch)
    for batch in batches:
        yield _portions(conn, job_id, ref.run_id, batch, of)


def _portions(
    conn: Connection, job_id: int, run_id: int, batch: _Batch, of: int
) -> Iterator[Loaded]:
    span = {"job_id": job_id, "first_seq": batch.first_seq, "last_seq": batch.last_seq}
    portions = [Portion(batch.first_seq, batch.last_seq, batch.items)]
    if not is_one(batch.bytes):
        with transaction(conn) as cur:
            portions = divide_batch(cur, span, of=of)
    for portion in portions:
        with transaction(conn) as cur:
            loaded = load_portion(cur, job_id, run_id, portion)
        yield loaded


def count_canary(conn: Connection, run_id: int) -> int:
    """Return how many items of a run are to be called before all others."""
    with transaction(conn) as cur:
        cur.execute(_SQL["count_canary"], {"run_id": run_id})
        return int(value(cur))


def store_plan(conn: Connection, run_id: int, plan: RunPlan) -> None:
    """Write the plan of an open run down."""
    with transaction(conn) as cur:
        cur.execute(_SQL["store_plan"], {"run_id": run_id, "plan": json.dumps(plan.as_json())})
    reach(Point.PLAN_STORED)


def read_limits(conn: Connection, run_id: int) -> Limits:
    """Return the limits of a run as they are now."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_limits"], {"run_id": run_id})
        return Limits.from_json(value(cur))


def read_clock(conn: Connection) -> datetime:
    """Return the time of the state's clock."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_moment"])
        moment: datetime = value(cur)
    return moment


def database_size(conn: Connection) -> int:
    """Return the bytes of the database that holds the state."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_database_size"])
        return int(value(cur))
