"""Jobs by REST: their status, and what all their runs did."""

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query

from retrofill.model.records import model_of
from retrofill.model.runs import Job
from retrofill.state.jobs import CountedJob, JobTotals, counted, get_totals, list_jobs
from retrofill.web.access import State, VisibleJob
from retrofill.web.api.dependencies import LIMIT, Hidden, Limit, Offset

router = APIRouter(prefix="/jobs", tags=["Jobs"])


class Jobs(NamedTuple):
    """Some jobs, latest activity first."""

    jobs: list[CountedJob]
    total_entries: int
    """How many there are in total."""


class JobDetails(NamedTuple):
    """A job, and what all its runs did."""

    job_id: int
    job: Job
    totals: JobTotals
    dag_ids: tuple[str, ...]
    """The DAGs whose DAG runs worked for it, the latest first."""


@router.get("", summary="List jobs", response_model=model_of(Jobs))
def get_jobs(
    conn: State,
    hidden: Hidden,
    search: Annotated[str, Query(description="Text in the name, source or function.")] = "",
    limit: Limit = LIMIT,
    offset: Offset = 0,
) -> Any:
    """Return jobs that you may see, each with its open or latest run."""
    found = list_jobs(conn, search=search, hidden_dags=hidden, most=limit, offset=offset)
    return Jobs(counted(conn, found.lines), found.of)


@router.get("/{job_id}", summary="Get a job", response_model=model_of(JobDetails))
def get_job(conn: State, access: VisibleJob) -> Any:
    """Return a job, and the totals of its runs."""
    known = access.job
    return JobDetails(known.job_id, known.job, get_totals(conn, known.job_id), access.dag_ids)
