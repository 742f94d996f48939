"""Jobs, as people look for them."""

from retrofill.model.runs import Job, KnownJob
from retrofill.state.connection import Connection, find, transaction, values
from retrofill.state.statements import load

_SQL = load("jobs.sql")


def get_job(conn: Connection, job_id: int) -> KnownJob | None:
    """Return a job; None if there is none of this number."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_job"], {"job_id": job_id})
        return find(cur, KnownJob, job=lambda fields: Job(**fields))


def dags_of(conn: Connection, job_id: int) -> tuple[str, ...]:
    """Return the DAGs whose DAG runs worked for a job, the one that did so last first."""
    with transaction(conn) as cur:
        cur.execute(_SQL["dags_of"], {"job_id": job_id})
        return tuple(values(cur))
