"""Jobs by REST: how each is, and what all its runs have done."""

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query

from retrofill.model.records import model_of
from retrofill.model.runs import Job
from retrofill.state.jobs import CountedJob, JobTotals, counted, get_totals, list_jobs
from retrofill.web.access import SeenJob, State
from retrofill.web.api.asking import LIMIT, Hidden, Limit, Offset

router = APIRouter(prefix="/jobs", tags=["Jobs"])


class Jobs(NamedTuple):
    """Some jobs, the one where something happened last first."""

    jobs: list[CountedJob]
    total_entries: int
    """How many there are in all."""


class JobTold(NamedTuple):
    """A job, and what all its runs have done."""

    job_id: int
    job: Job
    totals: JobTotals
    dag_ids: tuple[str, ...]
    """The DAGs whose DAG runs worked for it, the one that did so last first."""


@router.get("", summary="List jobs", response_model=model_of(Jobs))
def get_jobs(
    conn: State,
    hidden: Hidden,
    search: Annotated[str, Query(description="What name, source or function contains.")] = "",
    limit: Limit = LIMIT,
    offset: Offset = 0,
) -> Any:
    """Return jobs that you may see, each with the run that tells how it is."""
    found = list_jobs(conn, search=search, hidden_dags=hidden, most=limit, offset=offset)
    return Jobs(counted(conn, found.lines), found.of)


@router.get("/{job_id}", summary="A job", response_model=model_of(JobTold))
def get_job(conn: State, asker: SeenJob) -> Any:
    """Return a job, and what all its runs have done together."""
    known = asker.job
    return JobTold(known.job_id, known.job, get_totals(conn, known.job_id), asker.dag_ids)
