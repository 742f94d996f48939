"""All addresses that pages link to: ours, and those of Airflow's own UI.

``root`` is the path at which Airflow serves our pages.
"""

from urllib.parse import quote, urlencode

from airflow.configuration import conf

from retrofill.functions import FUNCTIONS
from retrofill.functions.kind import Called
from retrofill.model.function import Pinned
from retrofill.model.runs import NOT_MAPPED
from retrofill.state.items import ItemCall
from retrofill.state.pages import CallLine


def job(root: str, job_id: int) -> str:
    """Return the address of a job's page."""
    return f"{root}/jobs/{job_id}"


def items(root: str, job_id: int, key: str) -> str:
    """Return the address of the search for a key among a job's items."""
    return f"{job(root, job_id)}/items?{urlencode({'key': key})}"


def item(root: str, job_id: int, identifier: str, key: str) -> str:
    """Return the address of an item's page, which looks up the item by its key."""
    return f"{job(root, job_id)}/items/{_part(identifier)}?{urlencode({'key': key})}"


def run_of(root: str, dag_id: str, dag_run_id: str) -> str:
    """Return the address of the page of a DAG run's run."""
    return f"{root}/dags/{_part(dag_id)}/runs/{_part(dag_run_id)}"


def dag(dag_id: str) -> str:
    """Return the address of a DAG in Airflow, below the one at which users open Airflow."""
    base_url = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base_url}/dags/{_part(dag_id)}"


def dag_run(dag_id: str, dag_run_id: str) -> str:
    """Return the address of a DAG run in Airflow."""
    return f"{dag(dag_id)}/runs/{_part(dag_run_id)}"


def task_log(dag_id: str, dag_run_id: str, task_id: str, map_index: int = NOT_MAPPED) -> str:
    """Return the address of a task's log in Airflow; empty: the task is unknown."""
    if not task_id:
        return ""
    task = f"{dag_run(dag_id, dag_run_id)}/tasks/{_part(task_id)}"
    return task if map_index == NOT_MAPPED else f"{task}/mapped/{map_index}"


def approval(dag_id: str, dag_run_id: str) -> str:
    """Return the address at which Airflow asks for approval of a run's plan."""
    return f"{task_log(dag_id, dag_run_id, 'approve')}/required_actions"


def function_log(function: Pinned, call: CallLine | ItemCall) -> str | None:
    """Return the address of the function's log of a call; None: unknown."""
    kind = FUNCTIONS.get(function.kind)
    if kind is None or kind.log_link is None:
        return None
    return kind.log_link(function, Called(call.request_id, call.sent_at, call.ended_at))


def _part(name: str) -> str:
    return quote(name, safe="")
