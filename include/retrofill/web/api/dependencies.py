"""What routes depend on: the runs that the user may see or change, and the page of a list."""

from typing import Annotated, NamedTuple

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, Query, Request, Response

from retrofill.model.runs import DagRun
from retrofill.state import jobs
from retrofill.web import access
from retrofill.web.access import State, last_dag_run, require_own_page, require_reader

Limit = Annotated[
    int, Query(ge=1, le=1_000, description="The maximum number of entries to return.")
]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Entries to skip.")]

LIMIT = 100


class RunToChange(NamedTuple):
    """A run, and the user who may change it."""

    run_id: int
    dag_run: DagRun
    """The DAG run of its last set."""

    user: str


def not_stored(response: Response) -> None:
    """Forbid browsers and proxies to store the response."""
    response.headers["Cache-Control"] = "no-store"


def hidden_dags(user: GetUserDep, conn: State) -> list[str]:
    """Return the DAGs that worked for any job and whose runs the user may not see.

    :raises HTTPException: 403, the user may not see the runs of any DAG
    """
    require_reader(user)
    return access.hidden_dags(user, jobs.list_dags(conn))


def run_to_see(user: GetUserDep, conn: State, run_id: int) -> int:
    """Return the number of a run that the user may see.

    :raises HTTPException: 403, the user may not see it; 404, there is no such run
    """
    last_dag_run(user, conn, run_id, "GET")
    return run_id


def run_to_change(request: Request, user: GetUserDep, conn: State, run_id: int) -> RunToChange:
    """Return a run that the user may change.

    :raises HTTPException: 403, the user may not, or another site asks; 404, there is no such run
    """
    last = last_dag_run(user, conn, run_id, "PUT")
    require_own_page(request)
    return RunToChange(run_id, last, user.get_name())


Hidden = Annotated[list[str], Depends(hidden_dags)]
VisibleRun = Annotated[int, Depends(run_to_see)]
EditableRun = Annotated[RunToChange, Depends(run_to_change)]
