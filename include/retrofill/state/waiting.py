"""DAG runs that open no run until the earlier ones of their job are closed."""

from collections.abc import Collection, Sequence

from retrofill.model.runs import DagRun
from retrofill.state.connection import Connection, Cursor, rows, transaction, value, values
from retrofill.state.locks import lock_job
from retrofill.state.statements import load

_SQL = load("waiting.sql")


def wait(conn: Connection, job_id: int, dag_run: DagRun) -> tuple[list[int], list[DagRun]]:
    """Note that a DAG run waits; return the open runs of the job, and who began to wait before."""
    key = {"job_id": job_id, **dag_run._asdict()}
    with transaction(conn) as cur:
        cur.execute(_SQL["wait"], key)
        cur.execute(_SQL["list_before"], key)
        before = rows(cur, DagRun)
        return _open_runs(cur, job_id), before


def note_ahead(
    conn: Connection, dag_run: DagRun, runs: Sequence[int], behind: Sequence[DagRun]
) -> float:
    """Note what a DAG run waits for; return for how many seconds it has."""
    told = {"runs": list(runs), "behind": [other.dag_run_id for other in behind]}
    with transaction(conn) as cur:
        cur.execute(_SQL["note_ahead"], {**dag_run._asdict(), **told})
        return float(value(cur))


def wait_no_more(conn: Connection, dag_run: DagRun) -> None:
    """Forget that a DAG run waits."""
    with transaction(conn) as cur:
        cur.execute(_SQL["wait_no_more"], dag_run._asdict())


def list_waiting(conn: Connection) -> list[DagRun]:
    """Return all DAG runs that wait."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_waiting"])
        return rows(cur, DagRun)


def take_turn(cur: Cursor, job_id: int, dag_run: DagRun, but: Collection[int]) -> bool:
    """Return whether a run of a job may be opened alone; none other is until the transaction ends.

    :param but: open runs that are not waited for
    """
    lock_job(cur, job_id)
    if set(_open_runs(cur, job_id)) - set(but):
        return False
    cur.execute(_SQL["wait_no_more"], dag_run._asdict())
    return True


def _open_runs(cur: Cursor, job_id: int) -> list[int]:
    cur.execute(_SQL["list_open_runs"], {"job_id": job_id})
    return values(cur)
