"""Airflow in four processes: its settings, its database, and when it is healthy."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version

import httpx

from stack import celery
from stack.services import autocommit_cursor
from stack.settings import REPOSITORY, Settings, StackError
from stack.supervise import Program, child_environment

_COMPONENTS = {"scheduler", "dag_processor", "triggerer", "metadatabase"}
_ENDPOINT_OF = "AWS_ENDPOINT_URL_"
_TASKS_MAY_TAKE_S = 15
"""How long running tasks may take to end; the scheduler itself would wait forever."""

# For a stack on a laptop. Variables in the environment override them.
_TUNING = {
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
    # After its start, the API server may be busy for a minute when a task's first request comes.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "12",
}


def variables(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of every Airflow process, in addition to `environ`.

    Connections and tuning in `environ` are kept; the stack sets addresses and folders.
    """
    home = settings.directory / "airflow"
    metadata = settings.metadata_dsn.replace("postgresql://", "postgresql+psycopg2://")
    defaults = {
        **_TUNING,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{settings.user}:admin",
        "AIRFLOW_CONN_RETROFILL_STATE": settings.state_dsn,
        "AIRFLOW_CONN_RETROFILL_AIRFLOW": json.dumps(
            {"conn_type": "http", "login": settings.user, "password": settings.password}
        ),
        "AIRFLOW_CONN_AWS_DEFAULT": _aws_connection(settings, environ),
    }
    return {
        **{name: value for name, value in defaults.items() if not environ.get(name)},
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'include'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        **(celery.variables(settings) if settings.executor == "celery" else {}),
        "AIRFLOW__CORE__FERNET_KEY": settings.secrets.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(settings.ports.airflow),
        "AIRFLOW__API__BASE_URL": settings.airflow_url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": settings.secrets.session_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secrets.jwt_secret,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }


def _aws_connection(settings: Settings, environ: Mapping[str, str]) -> str:
    extra: dict[str, object] = {"region_name": settings.aws_region}
    if settings.aws_endpoint_url:
        extra["endpoint_url"] = settings.aws_endpoint_url
    # A connection's address hides boto3's variables, so it also needs those of single services.
    services = {
        name.removeprefix(_ENDPOINT_OF).lower(): {"endpoint_url": url}
        for name, url in environ.items()
        if name.startswith(_ENDPOINT_OF) and url
    }
    if services:
        extra["service_config"] = services
    connection = {"conn_type": "aws", "extra": extra}
    if settings.aws_embedded:
        connection |= {"login": "test", "password": "test"}
    return json.dumps(connection)


def groups(settings: Settings) -> dict[str, list[Program]]:
    """Return Airflow's components, in groups to start in this order and stop in reverse.

    The API server comes last, so that interrupted tasks can still report how they ended. The log
    servers would listen on every interface, so they are off: the API server reads the same disk.
    """
    environment = variables(settings)

    def program(name: str, command: list[str]) -> Program:
        return Program(name, command, environment, stop_after_s=_TASKS_MAY_TAKE_S)

    def component(name: str, *options: str) -> Program:
        return program(name, [sys.executable, "-m", "airflow", name, *options])

    components = {
        "airflow-api": [component("api-server")],
        "airflow": [
            component("scheduler", "--skip-serve-logs"),
            component("dag-processor"),
            component("triggerer", "--skip-serve-logs"),
        ],
    }
    if settings.executor != "celery":
        return components
    workers = [program(name, celery.worker_command(name)) for name in celery.WORKERS]
    return {"broker": [celery.broker(settings)], **components, "workers": workers}


def prepare(settings: Settings) -> None:
    """Create Airflow's home, and migrate both databases to the schemas of this version.

    :raises StackError: a migration fails
    """
    home = settings.directory / "airflow"
    home.mkdir(exist_ok=True)
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({settings.user: settings.password}))
    environment = {**child_environment(), **variables(settings)}
    _run(["retrofill", "db", "migrate"], environment)
    # Airflow takes seconds to find nothing to migrate. A comment on the database is faster.
    wanted = f"migrated by Airflow {version('apache-airflow')}"
    with autocommit_cursor(settings.metadata_dsn) as cursor:
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE datname = current_database()"
        )
        if cursor.fetchone() != (wanted,):
            _run(["airflow", "db", "migrate"], environment)
            cursor.execute("COMMENT ON DATABASE airflow IS %s", (wanted,))


def _run(module: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *module],
        check=False,
        env=environment,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise StackError(f"{' '.join(module)} failed:\n{done.stdout.strip()}")


def healthy(settings: Settings) -> bool:
    """Return whether every component reports that it is healthy."""
    try:
        answer = httpx.get(f"{settings.airflow_url}/api/v2/monitor/health", timeout=10)
        states = answer.raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all(states[name]["status"] == "healthy" for name in _COMPONENTS)


def warm_up(settings: Settings) -> None:
    """Make the API server build now what it would build at a task's first request.

    That takes about ten seconds, and tasks that start meanwhile would get no response and fail.
    """
    httpx.get(f"{settings.airflow_url}/execution/health", timeout=120).raise_for_status()
