"""Airflow's API server, as far as a plugin's page needs it: permissions and the audit log.

Import it within a test: a library of Airflow warns when it is imported.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from airflow import settings
from airflow.api_fastapi.app import get_auth_manager, init_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.jobs.job import Job
from airflow.models import DagModel, DagRun, Log, import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.errors import ParseImportError
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import synchronize_log_template
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from retrofill.web import page
from retrofill.web.app import app
from sqlalchemy import delete, select
from starlette.routing import Mount


@contextmanager
def serving() -> Iterator[TestClient]:
    """Serve the page, mounted as Airflow mounts it, with Airflow's own auth manager."""
    settings.initialize()
    import_all_models()
    Base.metadata.create_all(settings.engine)
    with create_session() as session:
        for known in (DagRun, DagTag, DagModel, Job, ParseImportError):
            session.execute(delete(known))
    purge_cached_app()
    init_auth_manager()
    served = FastAPI()
    served.mount("/retrofill", page)
    with TestClient(served, follow_redirects=False) as client:
        yield client
    purge_cached_app()


class PerDagAuthManager(SimpleAuthManager):
    """Airflow's simple auth manager, with users whose permissions cover only some DAGs.

    The DAGs follow an @: ``d`` for all that the role may do, ``d:GET`` to only see it.
    """

    def is_authorized_dag(
        self,
        *,
        method: Any,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        _, limited, dag_ids = user.username.partition("@")
        asked = details.id if details else None
        if limited and asked and not {asked, f"{asked}:{method}"} & {*dag_ids.split(",")}:
            return False
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )


def as_role(role: str) -> dict[str, str]:
    """Return the cookie of a user who has signed in with that role.

    :param role: such as ``VIEWER``, or ``USER@d,e:GET`` of a user who has it for d and may see e
    """
    user = SimpleAuthManagerUser(username=f"the-{role}", role=role.partition("@")[0])
    return {"Cookie": f"_token={get_auth_manager().generate_jwt(user)}"}


def add_dag(dag_id: str, *, tags: Sequence[str] = (), **facts: Any) -> None:
    """Register a DAG with Airflow."""
    with create_session() as session:
        session.merge(DagBundleModel(name="b"))
        session.flush()
        usual = {"bundle_name": "b", "is_stale": False, "is_paused": False}
        session.add(DagModel(dag_id=dag_id, **usual | facts))
        session.add_all(DagTag(dag_id=dag_id, name=tag) for tag in tags)


def break_file(name: str, error: str) -> None:
    """Make Airflow fail to import a DAG file."""
    with create_session() as session:
        session.add(ParseImportError(filename=name, bundle_name="b", stacktrace=error))


def add_triggerer(alive_at: datetime) -> None:
    """Give Airflow a triggerer with its last heartbeat at this time."""
    with create_session() as session:
        job = Job(job_type="TriggererJob", state="running")
        job.latest_heartbeat = alive_at
        session.add(job)


def write_dag(dag: DAG) -> None:
    """Register a DAG as if Airflow had parsed it, so that it can be triggered."""
    synchronize_log_template()
    add_dag(dag.dag_id)
    SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="b")


def confs_of(dag_id: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Return the id, user and conf of each DAG run of a DAG."""
    with create_session() as session:
        runs = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id))
        return [(run.run_id, run.triggering_user_name, run.conf) for run in runs]


def add_dag_run(dag_id: str, dag_run_id: str, state: DagRunState) -> None:
    """Give Airflow a DAG run in some state."""
    with create_session() as session:
        session.add(
            DagRun(dag_id=dag_id, run_id=dag_run_id, state=state, run_type=DagRunType.MANUAL)
        )


def leave_xcom(dag_id: str, dag_run_id: str, task_id: str, key: str, value: str) -> None:
    """Store an XCom value of a task, as the API server does."""
    row = (1, task_id, -1, key, dag_id, dag_run_id, json.dumps(value), "2026-01-01")
    with settings.engine.connect() as conn:
        # Only the row: neither the DAG run nor its tasks exist.
        conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
        conn.exec_driver_sql(
            "INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value,"
            " timestamp) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        conn.commit()
        conn.exec_driver_sql("PRAGMA foreign_keys = ON")


def audit_log(dag_id: str) -> list[tuple[str, str, str]]:
    """Return the event, user and value of each entry about a DAG."""
    with create_session() as session:
        entries = session.scalars(select(Log).where(Log.dag_id == dag_id).order_by(Log.id))
        return [(entry.event, entry.owner, json.loads(entry.extra)["value"]) for entry in entries]


def routes() -> set[tuple[str, str]]:
    """Return method and path of each route of the pages and of apps mounted below them."""
    return set(_routes(app(), ""))


def _routes(served: FastAPI, above: str) -> Iterator[tuple[str, str]]:
    for route in served.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            yield from _routes(route.app, above + route.path)
        elif isinstance(route, APIRoute):
            yield from ((method, above + route.path) for method in route.methods)
