"""Airflow's API server as far as a page of a plugin needs it: permissions, and the audit log.

Import it within a test: a library of Airflow's warns when it is imported.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from airflow import settings
from airflow.api_fastapi.app import get_auth_manager, init_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import Log, import_all_models
from airflow.models.base import Base
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from retrofill.web import page
from retrofill.web.app import app
from sqlalchemy import select
from starlette.routing import Mount


@contextmanager
def serving() -> Iterator[TestClient]:
    """Serve the page, mounted as Airflow mounts it, with Airflow's own auth manager."""
    settings.initialize()
    import_all_models()
    Base.metadata.create_all(settings.engine)
    purge_cached_app()
    init_auth_manager()
    served = FastAPI()
    served.mount("/retrofill", page)
    with TestClient(served, follow_redirects=False) as client:
        yield client
    purge_cached_app()


def as_role(role: str) -> dict[str, str]:
    """Return the cookie of somebody who has signed in with that role."""
    user = SimpleAuthManagerUser(username=f"the-{role}", role=role)
    return {"Cookie": f"_token={get_auth_manager().generate_jwt(user)}"}


def leave_xcom(dag_id: str, dag_run_id: str, task_id: str, key: str, value: str) -> None:
    """Have a task of a DAG run leave a value, as the API server stores it."""
    row = (1, task_id, -1, key, dag_id, dag_run_id, json.dumps(value), "2026-01-01")
    with settings.engine.connect() as conn:
        # The row alone: neither the DAG run nor its tasks are there.
        conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
        conn.exec_driver_sql(
            "INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value,"
            " timestamp) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        conn.commit()
        conn.exec_driver_sql("PRAGMA foreign_keys = ON")


def audit_log(dag_id: str) -> list[tuple[str, str, str]]:
    """Return event, user and value of each entry about a DAG."""
    with create_session() as session:
        entries = session.scalars(select(Log).where(Log.dag_id == dag_id).order_by(Log.id))
        return [(entry.event, entry.owner, json.loads(entry.extra)["value"]) for entry in entries]


def routes() -> set[tuple[str, str]]:
    """Return method and path of each route of the pages, and of what is mounted below them."""
    return set(_routes(app(), ""))


def _routes(served: FastAPI, above: str) -> Iterator[tuple[str, str]]:
    for route in served.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            yield from _routes(route.app, above + route.path)
        elif isinstance(route, APIRoute):
            yield from ((method, above + route.path) for method in route.methods)
