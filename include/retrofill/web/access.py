"""Who may see and change what, as Airflow decides for each DAG.

Airflow does not protect a mounted app, so each route asks for permission through the dependencies
of Airflow's own routes. They are not public API; tests/contracts pins them.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request, status

from retrofill.compat import teams_of
from retrofill.connections import open_state
from retrofill.model.runs import DagRun, KnownJob, SetRef
from retrofill.state import jobs, runs
from retrofill.state.connection import Connection
from retrofill.web.origin import is_own

Method: TypeAlias = Literal["GET", "POST", "PUT"]

READ = requires_access_dag("GET", DagAccessEntity.RUN)
"""Requires permission to see the DAG runs of the DAG in the path; without one, of any DAG."""

EDIT = requires_access_dag("PUT", DagAccessEntity.RUN)
"""Requires permission to edit them."""


def state(request: Request, user: GetUserDep) -> Iterator[Connection]:
    """Open the state for a signed-in user, until the response is sent.

    :raises HTTPException: 422, the address contains a character that Postgres cannot store
    """
    if "\0" in unquote(str(request.url)):
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT,
            "the address contains the character NUL (%00); remove it",
        )
    # If the state cannot be opened, the handler shows only this user why.
    request.state.user = user
    with open_state() as conn:
        yield conn


State = Annotated[Connection, Depends(state)]


class JobAccess(NamedTuple):
    """A job that the user may see."""

    job: KnownJob
    dag_ids: tuple[str, ...]
    """The DAGs whose DAG runs worked for it, the latest first."""


def may(user: BaseUser, method: Method, dag_ids: Collection[str]) -> bool:
    """Return whether a user may do this with the DAG runs of all these DAGs.

    :param dag_ids: empty: whether the user may do it with those of any DAG
    """
    return _may(user, method, _details(dag_ids) or [DagDetails()])


def hidden_dags(user: BaseUser, dag_ids: Collection[str]) -> list[str]:
    """Return the DAGs whose DAG runs a user may not see.

    It asks Airflow about all at once, and about each only if that is refused. Airflow's list of the
    DAGs that a user may see does not cover their DAG runs.
    """
    asked = _details(dag_ids)
    if not asked or _may(user, "GET", asked):
        return []
    return [str(one.id) for one in asked if not _may(user, "GET", [one])]


def _details(dag_ids: Collection[str]) -> list[DagDetails]:
    teams = teams_of(dag_ids)
    return [DagDetails(id=dag_id, team_name=teams.get(dag_id)) for dag_id in dag_ids]


def _may(user: BaseUser, method: Method, asked: Sequence[DagDetails]) -> bool:
    requests = [
        IsAuthorizedDagRequest(method=method, access_entity=DagAccessEntity.RUN, details=details)
        for details in asked
    ]
    return get_auth_manager().batch_is_authorized_dag(requests, user=user)


def require_reader(user: GetUserDep) -> None:
    """Refuse a user who may not see the runs of any DAG.

    :raises HTTPException: 403
    """
    if not may(user, "GET", []):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not see the runs of any DAG")


def last_dag_run(user: BaseUser, conn: Connection, run_id: int, method: Method) -> DagRun:
    """Return the DAG run of the last set of a run.

    :param method: GET to see the run, PUT to change it
    :raises HTTPException: 403, the user may not do this; 404, there is no such run
    """
    sets = runs.later_sets(conn, SetRef(run_id, 0))
    if not may(user, method, [last.dag_id for last in sets[-1:]]):
        what = "see" if method == "GET" else "change"
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, f"you may not {what} the runs of the DAG of this run"
        )
    if not sets:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no run {run_id}")
    return sets[-1]


def job_access(user: GetUserDep, conn: State, job_id: int) -> JobAccess:
    """Return a job that a user may see: its pages show what the DAG runs of all its DAGs did.

    :raises HTTPException: 403, the user may not see the runs of all its DAGs; 404, no such job
    """
    job = runs.find_job(conn, job_id=job_id)
    dag_ids = jobs.dags_of(conn, job_id)
    if not may(user, "GET", dag_ids):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "to see a job, you need permission to see the runs of every DAG that worked for it",
        )
    if job is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no job {job_id}")
    return JobAccess(job, dag_ids)


VisibleJob = Annotated[JobAccess, Depends(job_access)]


def require_own_page(request: Request) -> None:
    """Refuse a request that another site may have made the browser send.

    :raises HTTPException: 403
    """
    base_url = conf.get("api", "base_url", fallback="")
    if not is_own(request.headers, base_url):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "the request comes from another site than Airflow's setting [api] base_url"
            f" ({base_url or 'not set'}); set it to the address at which you open Airflow",
        )
