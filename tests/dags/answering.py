"""The user whom a task asks for approval: answers via Airflow's REST API, or lets it expire."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any
from urllib.parse import quote

EXPIRE = "expire"
"""The answer of a user who is too late."""

_LOOK_EVERY_S = 0.2


def answer_in_background(ask: Callable[[str], str]) -> None:
    """Wait until a task asks, and answer with the result of `ask` for the body of its form."""
    Thread(target=_answer, args=(ask,), daemon=True).start()


def _answer(ask: Callable[[str], str]) -> None:
    from airflow.models import TaskInstance  # noqa: PLC0415  imported in the process of the DAG
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    waiting = select(TaskInstance).where(TaskInstance.state == "awaiting_input")
    while True:
        with create_session() as session:
            found = session.scalars(waiting).first()
            if found is not None:
                path = f"{found.dag_id}/dagRuns/{quote(found.run_id, safe='')}"
                break
        time.sleep(_LOOK_EVERY_S)
    client, headers = _client()
    url = f"/api/v2/dags/{path}/taskInstances/approve/-1/hitlDetails"
    asked: dict[str, Any] = client.get(url, headers=headers).raise_for_status().json()
    answer = ask(asked["body"])
    if answer == EXPIRE:
        _expire()
        return
    chosen = {"chosen_options": [answer], "params_input": {}}
    client.patch(url, headers=headers, json=chosen).raise_for_status()


def _client() -> tuple[Any, dict[str, str]]:
    """Return a client of Airflow's API, and Ada's headers."""
    from airflow.api_fastapi.app import create_app, get_auth_manager  # noqa: PLC0415
    from airflow.api_fastapi.auth.managers.simple.user import (  # noqa: PLC0415
        SimpleAuthManagerUser,
    )
    from fastapi.testclient import TestClient  # noqa: PLC0415

    client = TestClient(create_app(apps="core"))
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="Ada", role="admin"))
    return client, {"Authorization": f"Bearer {token}"}


def _expire() -> None:
    """Let the time to answer pass, and run the scheduler's check."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from airflow.jobs.job import Job  # noqa: PLC0415
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner  # noqa: PLC0415
    from airflow.models import TaskInstance  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import update  # noqa: PLC0415

    with create_session() as session:
        session.execute(
            update(TaskInstance)
            .where(TaskInstance.state == "awaiting_input")
            .values(trigger_timeout=datetime(2026, 1, 1, tzinfo=UTC))
        )
    SchedulerJobRunner(Job()).check_awaiting_input_timeouts()
