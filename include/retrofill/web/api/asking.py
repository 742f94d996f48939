"""Who asks by REST, and for which page of a list."""

from typing import Annotated, NamedTuple

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Query, Request, Response, status

from retrofill.model.runs import SetRef
from retrofill.state import jobs, runs
from retrofill.state.connection import Connection
from retrofill.web.access import Method, State, may, require_own_page, unseen

Limit = Annotated[int, Query(ge=1, le=1_000, description="How many to return at most.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="How many to leave out before.")]

LIMIT = 100


class RunAct(NamedTuple):
    """Who changes which run."""

    run_id: int
    dag_id: str
    dag_run_id: str
    """The DAG run of its last set."""

    name: str


def not_stored(response: Response) -> None:
    """Have nobody on the way keep the answer."""
    response.headers["Cache-Control"] = "no-store"


def hidden_dags(user: GetUserDep, conn: State) -> list[str]:
    """Return the DAGs that worked for any job and whose runs somebody may not see.

    :raises HTTPException: 403, they may see no runs at all
    """
    if not may(user, "GET", []):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may see the runs of no DAG")
    return unseen(user, jobs.list_dags(conn))


Hidden = Annotated[list[str], Depends(hidden_dags)]


def run_to_see(user: GetUserDep, conn: State, run_id: int) -> int:
    """Return the number of a run that somebody may see.

    :raises HTTPException: 403, they may not; 404, there is no such run
    """
    return _run(user, conn, run_id, "GET").run_id


def run_to_change(request: Request, user: GetUserDep, conn: State, run_id: int) -> RunAct:
    """Return a run that somebody may change.

    :raises HTTPException: 403, they may not, or another site asks; 404, there is no such run
    """
    found = _run(user, conn, run_id, "PUT")
    require_own_page(request)
    return found


SeenRun = Annotated[int, Depends(run_to_see)]
ChangedRun = Annotated[RunAct, Depends(run_to_change)]


def _run(user: GetUserDep, conn: Connection, run_id: int, method: Method) -> RunAct:
    last = next(reversed(runs.later_sets(conn, SetRef(run_id, 0))), None)
    if not may(user, method, [last.dag_id] if last else []):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not do this with its DAG's runs")
    if last is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no run {run_id}")
    return RunAct(run_id, last.dag_id, last.dag_run_id, user.get_name())
