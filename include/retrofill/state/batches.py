"""Batches: cutting what is in process into them, and giving back what they did not finish."""

from typing import NamedTuple

from include.retrofill.faults import Point, reach
from include.retrofill.model.runs import SetRef
from include.retrofill.state import runs
from include.retrofill.state.connection import Connection, one, transaction
from include.retrofill.state.lost_calls import lose_calls
from include.retrofill.state.statements import load

_SQL = load("batches.sql")

ABANDONED_AFTER_S = 6 * 3600.0
"""How long an open run may show no life before a later run of the job takes its items over."""

MAX_BATCHES = 200
"""Mapped instances of one run: Airflow's grid and scheduler suffer from many more."""

MIN_BATCHES = 4
"""Mapped instances of a run with work enough for them: a worker of several cores is used."""


class PlannedBatch(NamedTuple):
    """A batch that waits for its invoke task."""

    batch_id: int
    items: int


def plan(
    conn: Connection, ref: SetRef, job_id: int, *, most_items: int, fewest_items: int
) -> list[PlannedBatch]:
    """Cut the job's items that no open batch owns into batches; return all batches of the set.

    :param most_items: items of a batch, unless that made more than MAX_BATCHES
    :param fewest_items: items below which a batch is not made smaller to have more of them
    """
    key = {**ref._asdict(), "job_id": job_id}
    with transaction(conn) as cur:
        cur.execute(_SQL["lock_job"], key)
        cur.execute(_SQL["close_abandoned"], {**key, "abandoned_after_s": ABANDONED_AFTER_S})
        lose_calls(cur, [row[0] for row in cur.fetchall()])
        cur.execute(_SQL["forget_extents"], key)
        cur.execute(
            _SQL["plan_batches"],
            {
                **key,
                "abandoned_after_s": ABANDONED_AFTER_S,
                "most_items": most_items,
                "fewest_items": fewest_items,
                "max_batches": MAX_BATCHES,
                "min_batches": MIN_BATCHES,
            },
        )
        cur.execute(_SQL["list_batches"], key)
        planned = [PlannedBatch(*row) for row in cur.fetchall()]
    reach(Point.BATCHES_PLANNED)
    return planned


def release_set(conn: Connection, ref: SetRef) -> None:
    """Give back what a set's batches did not finish; their unsettled calls count as lost."""
    with transaction(conn) as cur:
        cur.execute(_SQL["release_batches"], ref._asdict())
        lose_calls(cur, [row[0] for row in cur.fetchall()])


def is_held(conn: Connection, ref: SetRef) -> bool:
    """Return whether a task holds the lease of a batch of a set."""
    with transaction(conn) as cur:
        cur.execute(_SQL["is_held"], ref._asdict())
        return bool(one(cur)[0])


def rescue_run(conn: Connection, run_id: int, job_id: int) -> str | None:
    """Close an open run that no task holds a batch of, and free what its batches did not finish.

    Calls that were not settled count as lost, as when another task takes a batch over.

    :returns: the state in which it is closed; None: it is held, or was closed already
    """
    key = {"run_id": run_id, "job_id": job_id, "set_no": None}
    with transaction(conn) as cur:
        # With these locks no task renews a lease, takes a batch or plans one; only what a
        # statement sees that begins behind them is sure.
        for statement in ("lock_job", "lock_run", "lock_batches"):
            cur.execute(_SQL[statement], key)
        cur.execute(_SQL["is_open"], key)
        if cur.fetchone() != (True,):
            return None
        cur.execute(_SQL["is_held"], key)
        if one(cur)[0]:
            return None
        cur.execute(_SQL["release_batches"], key)
        lose_calls(cur, [row[0] for row in cur.fetchall()])
        runs.conclude(cur, run_id)
        return runs.read_report(cur, run_id).state
