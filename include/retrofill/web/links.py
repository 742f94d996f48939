"""All addresses that pages lead to: those of Airflow's own UI, and ours."""

from urllib.parse import quote, urlencode

from airflow.configuration import conf

from retrofill.functions import FUNCTIONS
from retrofill.functions.kind import Called
from retrofill.model.function import Pinned
from retrofill.model.runs import NOT_MAPPED


def job(root: str, job_id: int) -> str:
    """Return the address of the page of a job.

    :param root: the path at which Airflow serves our pages
    """
    return f"{root}/jobs/{job_id}"


def quarantine(root: str, job_id: int) -> str:
    """Return the address of the page of a job's quarantine."""
    return f"{job(root, job_id)}/quarantine"


def redrive(root: str, job_id: int) -> str:
    """Return the address of the page that asks for a redrive of a job."""
    return f"{job(root, job_id)}/redrive"


def items(root: str, job_id: int, key: str) -> str:
    """Return the address of what a job knows of a key."""
    return f"{job(root, job_id)}/items?{urlencode({'key': key})}"


def item(root: str, job_id: int, identifier: str, key: str) -> str:
    """Return the address of the page of an item; it is looked up by its key."""
    return f"{job(root, job_id)}/items/{_part(identifier)}?{urlencode({'key': key})}"


def run(root: str, run_id: int) -> str:
    """Return the address that leads to the page of a run, whatever DAG runs it has."""
    return f"{root}/runs/{run_id}"


def run_of(root: str, dag_id: str, dag_run_id: str) -> str:
    """Return the address of the page of the run of a DAG run."""
    return f"{root}/dags/{_part(dag_id)}/runs/{_part(dag_run_id)}"


def dag(dag_id: str) -> str:
    """Return the address of a DAG in Airflow."""
    return _airflow(f"dags/{_part(dag_id)}")


def dag_run(dag_id: str, dag_run_id: str) -> str:
    """Return the address of a DAG run in Airflow."""
    return _airflow(f"dags/{_part(dag_id)}/runs/{_part(dag_run_id)}")


def task_log(dag_id: str, dag_run_id: str, task_id: str, map_index: int = NOT_MAPPED) -> str:
    """Return the address of the log of a task instance in Airflow; empty: the task has no name."""
    if not task_id:
        return ""
    task = f"{dag_run(dag_id, dag_run_id)}/tasks/{_part(task_id)}"
    return task if map_index == NOT_MAPPED else f"{task}/mapped/{map_index}"


def approval(dag_id: str, dag_run_id: str) -> str:
    """Return the address at which Airflow has the plan of a run approved."""
    return f"{task_log(dag_id, dag_run_id, 'approve')}/required_actions"


def function_log(function: Pinned, call: Called) -> str | None:
    """Return the address of the function's log of a call; None: nobody can tell."""
    kind = FUNCTIONS.get(function.kind)
    return kind.log_link(function, call) if kind is not None and kind.log_link else None


def _airflow(path: str) -> str:
    """Return an address below that at which people open Airflow."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{path}"


def _part(name: str) -> str:
    return quote(name, safe="")
