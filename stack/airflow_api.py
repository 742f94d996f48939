"""Airflow's REST API for demo, tests and benchmarks: trigger a DAG and wait for its end."""

import time
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import quote

import httpx

from stack.settings import Settings

_ENDS = {"success", "failed"}
_ASK_EVERY_S = 0.5
_PAGE = 100
_LOGS = 3
_LOG_LINES = 12


class AirflowApi:
    """A client of the API, logged in.

    Formats: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
    """

    def __init__(self, settings: Settings) -> None:
        self._http = httpx.Client(base_url=settings.airflow_url, timeout=60)
        login = {"username": settings.user, "password": settings.password}
        token = self._request("POST", "/auth/token", json=login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def unpause(self, dag_id: str, *, within_s: float) -> None:
        """Wait until Airflow knows a DAG, and unpause it.

        :raises DagMissingError: it is not known in time; the message has Airflow's import errors
        """
        limit = time.monotonic() + within_s
        while self._http.get(f"/api/v2/dags/{dag_id}").status_code == httpx.codes.NOT_FOUND:
            if time.monotonic() > limit:
                errors = self._request("GET", "/api/v2/importErrors")["import_errors"]
                reasons = [f"{error['filename']}:\n{error['stack_trace']}" for error in errors]
                message = f"Airflow does not know the DAG {dag_id} after {within_s:g} s"
                raise DagMissingError("\n".join([message, *reasons]))
            time.sleep(_ASK_EVERY_S)
        self._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, params: dict[str, Any]) -> None:
        """Start a DAG run."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": params}
        self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run: queued, running, success or failed."""
        return str(self._request("GET", run_path(dag_id, run_id))["state"])

    def await_end(self, dag_id: str, run_id: str, *, within_s: float = 300) -> str:
        """Wait for the end of a DAG run; return its state: success or failed.

        :raises TimeoutError: it has not ended in time
        """
        limit = time.monotonic() + within_s
        while (state := self.run_state(dag_id, run_id)) not in _ENDS:
            if time.monotonic() > limit:
                raise TimeoutError(f"{run_id} is {state} after {within_s:g} s")
            time.sleep(_ASK_EVERY_S)
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a DAG run."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._request(
                "GET",
                f"{run_path(dag_id, run_id)}/taskInstances",
                params={"limit": _PAGE, "offset": len(found)},
            )
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found

    def failures(self, dag_id: str, run_id: str) -> Iterator[str]:
        """Yield the last lines of the logs of the first failed tasks of a DAG run."""
        tasks = f"{run_path(dag_id, run_id)}/taskInstances"
        query = {"state": "failed", "order_by": "end_date", "limit": _LOGS}
        for task in self._request("GET", tasks, params=query)["task_instances"]:
            log = self._request(
                "GET",
                f"{tasks}/{task['task_id']}/logs/{task['try_number']}",
                params={"map_index": task["map_index"], "full_content": True},
            )
            mapped = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
            yield f"the end of the log of {task['task_id']}{mapped}, try {task['try_number']}:"
            lines = [line for entry in log["content"] for line in log_lines(entry)]
            yield from (f"    {line}" for line in lines[-_LOG_LINES:])

    def _request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise ApiError(f"{method} {path}: Airflow does not respond ({error})") from error
        if answer.is_error:
            raise ApiError(f"{method} {path}: Airflow returned {answer.status_code}: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found


class ApiError(Exception):
    """Airflow refuses a request, or does not respond."""


class DagMissingError(Exception):
    """Airflow does not know a DAG, perhaps because it cannot import its file."""


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a DAG run."""
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def log_lines(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of an entry of a task's log, with the messages of its exceptions.

    Entries that every task has are left out: groups, the log's location, deprecations.
    """
    of_every_task = entry["event"].startswith("::") or entry.get("logger") == "py.warnings"
    if of_every_task or not entry.get("timestamp"):
        return
    yield f"{entry['level']:<8}{entry['event']}"
    for error in entry.get("error_detail") or []:
        first, *others = str(error["exc_value"]).splitlines() or [""]
        yield f"{'':<8}{error['exc_type']}: {first}"
        yield from (f"{'':<8}{line}" for line in others)
