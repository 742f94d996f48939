"""Who may see and change what: each page asks Airflow, per DAG, and whether a form is our own.

Airflow gives a mounted app no protection of its own, so each route asks for permission by the
dependencies that Airflow's own routes use. They are no public API: tests/contracts pins them.
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
from retrofill.model.runs import KnownJob
from retrofill.state import jobs
from retrofill.state.connection import Connection
from retrofill.web.origin import is_own

Method: TypeAlias = Literal["GET", "POST", "PUT"]

READ = requires_access_dag("GET", DagAccessEntity.RUN)
"""Of a route with a DAG in its path: whether that DAG's runs may be seen; else, any at all."""

EDIT = requires_access_dag("PUT", DagAccessEntity.RUN)
"""Likewise, whether they may be changed."""


def state(request: Request, user: GetUserDep) -> Iterator[Connection]:
    """Open the state for as long as a request is answered, of somebody who has signed in.

    :raises HTTPException: 422, the address holds a sign that Postgres cannot
    """
    if "\0" in unquote(str(request.url)):
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "the address holds the sign NUL, %00"
        )
    # Where it cannot be opened, what is wrong is said to them alone.
    request.state.user = user
    with open_state() as conn:
        yield conn


State = Annotated[Connection, Depends(state)]


class RunAsker(NamedTuple):
    """Who asks for the page of which DAG run."""

    dag_id: str
    dag_run_id: str
    name: str
    may_change: bool


class JobAsker(NamedTuple):
    """Who asks for a page of which job."""

    job: KnownJob
    dag_ids: tuple[str, ...]
    """The DAGs whose DAG runs worked for it, the one that did so last first."""

    name: str


def may(user: BaseUser, method: Method, dag_ids: Collection[str]) -> bool:
    """Return whether somebody may do so with the DAG runs of all these DAGs; of none: of any."""
    return _may(user, method, _details(dag_ids) or [DagDetails()])


def unseen(user: BaseUser, dag_ids: Collection[str]) -> list[str]:
    """Return those of some DAGs whose DAG runs a user may not see.

    Airflow is asked about all at once, and about each only if that is refused. Its list of the DAGs
    that a user may see says nothing about their DAG runs.
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


def who_asks(user: GetUserDep, dag_id: str, dag_run_id: str) -> RunAsker:
    """Return who asks; may they see the run at all, is asked elsewhere."""
    return RunAsker(dag_id, dag_run_id, user.get_name(), may(user, "PUT", [dag_id]))


def who_asks_for_job(user: GetUserDep, conn: State, job_id: int) -> JobAsker:
    """Return who asks for a page of a job: it tells of all that its DAG runs did.

    :raises HTTPException: 403, they may not see the runs of one of its DAGs; 404, no such job
    """
    job = jobs.get_job(conn, job_id)
    dag_ids = jobs.dags_of(conn, job_id)
    if not may(user, "GET", dag_ids):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "a page of a job is for who may see the runs of all DAGs that worked for it",
        )
    if job is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no job {job_id}")
    return JobAsker(job, dag_ids, user.get_name())


SeenJob = Annotated[JobAsker, Depends(who_asks_for_job)]


def require_own_page(request: Request) -> None:
    """Refuse a request that another page may have made the browser send.

    :raises HTTPException: 403
    """
    base_url = conf.get("api", "base_url", fallback="")
    if not is_own(request.headers, base_url):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "the request comes from another site than Airflow's setting [api] base_url names"
            f" ({base_url or 'not set'}); set it to the address at which people open Airflow",
        )
