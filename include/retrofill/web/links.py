"""All addresses that pages lead to: those of Airflow's own UI, and ours."""

from urllib.parse import quote, urlencode

from airflow.configuration import conf

from retrofill.functions import FUNCTIONS
from retrofill.functions.kind import Called
from retrofill.model.function import Pinned

NOT_MAPPED = -1
"""The map index of a task that is not mapped, as Airflow has it."""


def job_list() -> str:
    """Return the address of the page of all jobs."""
    return _ours("jobs")


def job(name: str) -> str:
    """Return the address of the page of a job."""
    return _ours(f"jobs/{_part(name)}")


def quarantine(name: str) -> str:
    """Return the address of the page of a job's quarantine."""
    return _ours(f"jobs/{_part(name)}/quarantine")


def items(name: str, key: str) -> str:
    """Return the address of what a job knows of a key."""
    return _ours(f"jobs/{_part(name)}/items?{urlencode({'key': key})}")


def item(name: str, identifier: str) -> str:
    """Return the address of the page of an item."""
    return _ours(f"jobs/{_part(name)}/items/{_part(identifier)}")


def run_of(dag_id: str, dag_run_id: str) -> str:
    """Return the address of the page of the run of a DAG run."""
    return _ours(f"dags/{_part(dag_id)}/runs/{_part(dag_run_id)}")


def run(run_id: int) -> str:
    """Return the address of the page of a run, whatever DAG runs it has."""
    return _ours(f"runs/{run_id}")


def dag(dag_id: str) -> str:
    """Return the address of a DAG in Airflow."""
    return _airflow(f"dags/{_part(dag_id)}")


def dag_run(dag_id: str, dag_run_id: str) -> str:
    """Return the address of a DAG run in Airflow."""
    return _airflow(f"dags/{_part(dag_id)}/runs/{_part(dag_run_id)}")


def task_log(dag_id: str, dag_run_id: str, task_id: str, map_index: int = NOT_MAPPED) -> str:
    """Return the address of the log of a task instance in Airflow."""
    task = f"{dag_run(dag_id, dag_run_id)}/tasks/{_part(task_id)}"
    return task if map_index == NOT_MAPPED else f"{task}/mapped/{map_index}"


def approval(dag_id: str, dag_run_id: str) -> str:
    """Return the address at which Airflow has the plan of a run approved."""
    return f"{task_log(dag_id, dag_run_id, 'approve')}/required_actions"


def function_log(function: Pinned, call: Called) -> str | None:
    """Return the address of the function's log of a call; None: nobody can tell."""
    kind = FUNCTIONS.get(function.kind)
    return kind.log_link(function, call) if kind is not None and kind.log_link else None


def _ours(path: str) -> str:
    return _airflow(f"retrofill/{path}")


def _airflow(path: str) -> str:
    """Return an address below that at which people open Airflow."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{path}"


def _part(name: str) -> str:
    return quote(name, safe="")
