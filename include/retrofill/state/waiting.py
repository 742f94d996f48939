"""DAG runs that wait for earlier runs of their job to close."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from retrofill.model.runs import DagRun
from retrofill.state.connection import (
    Connection,
    Cursor,
    execute,
    executed,
    rows,
    transaction,
    value,
    values,
)
from retrofill.state.locks import lock_job
from retrofill.state.statements import load

_SQL = load("waiting.sql")


class Waiter(NamedTuple):
    """A DAG run that waits to open a run."""

    dag_id: str
    dag_run_id: str
    since: datetime
    runs: list[int]
    """The open runs that it waits for."""

    behind: list[str]
    """The DAG runs that open theirs first."""


def wait(conn: Connection, job_id: int, dag_run: DagRun) -> tuple[list[int], list[DagRun]]:
    """Record that a DAG run waits.

    :returns: the open runs of the job, and the DAG runs that began to wait earlier
    """
    key = {"job_id": job_id, **dag_run._asdict()}
    with transaction(conn) as cur:
        cur.execute(_SQL["wait"], key)
        cur.execute(_SQL["list_before"], key)
        before = rows(cur, DagRun)
        return list_open_runs(cur, job_id), before


def note_ahead(
    conn: Connection, dag_run: DagRun, runs: Sequence[int], behind: Sequence[DagRun]
) -> float:
    """Record what a DAG run waits for; return how long it has waited, in seconds."""
    ahead = {"runs": list(runs), "behind": [other.dag_run_id for other in behind]}
    with executed(conn, _SQL["note_ahead"], **dag_run._asdict(), **ahead) as cur:
        return float(value(cur))


def stop_waiting(conn: Connection, dag_run: DagRun) -> None:
    """Record that a DAG run no longer waits."""
    execute(conn, _SQL["stop_waiting"], **dag_run._asdict())


def list_waiting(conn: Connection, job_id: int | None = None) -> list[Waiter]:
    """Return the DAG runs that wait to open a run of a job, or of any job, in order."""
    with executed(conn, _SQL["list_waiting"], job_id=job_id) as cur:
        return rows(cur, Waiter)


def take_turn(cur: Cursor, job_id: int, dag_run: DagRun, but: Collection[int]) -> bool:
    """Return whether a DAG run may open a run alone; until the transaction ends, no other may.

    :param but: open runs that it does not wait for
    """
    lock_job(cur, job_id)
    if set(list_open_runs(cur, job_id)) - set(but):
        return False
    cur.execute(_SQL["stop_waiting"], dag_run._asdict())
    return True


def list_open_runs(cur: Cursor, job_id: int) -> list[int]:
    """Return the open runs of a job."""
    cur.execute(_SQL["list_open_runs"], {"job_id": job_id})
    return values(cur)
