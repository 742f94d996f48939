"""Airflow's REST API with what a test asks of it besides."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from stack.airflow_api import AirflowApi, log_lines, run_path


class ObservedAirflow(AirflowApi):
    def dag_runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, the oldest first."""
        path = f"/api/v2/dags/{dag_id}/dagRuns?order_by=id&limit=100"
        runs: list[dict[str, Any]] = self._request("GET", path)["dag_runs"]
        return runs

    def states(self, dag_id: str, run_id: str) -> dict[str, set[str]]:
        """Return the states of each task of a run."""
        found: dict[str, set[str]] = {}
        for one in self.task_instances(dag_id, run_id):
            found.setdefault(one["task_id"], set()).add(one["state"])
        return found

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Have tasks of a run, and those downstream, run once more."""
        asked = {
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "dry_run": False,
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._request("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=asked)

    def mark(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run as someone does in the UI."""
        self._request("PATCH", run_path(dag_id, run_id), json={"state": state})

    def question(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return what a run asks a person, and what was answered."""
        return self._request("GET", self._question(dag_id, run_id))

    def answer(self, dag_id: str, run_id: str, option: str) -> None:
        """Answer what a run asks, as a person does."""
        chosen = {"chosen_options": [option], "params_input": {}}
        self._request("PATCH", self._question(dag_id, run_id), json=chosen)

    @staticmethod
    def _question(dag_id: str, run_id: str) -> str:
        return f"{run_path(dag_id, run_id)}/taskInstances/approve/-1/hitlDetails"

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the log of the last try of a task."""
        tries = self._request("GET", f"{run_path(dag_id, run_id)}/taskInstances/{task_id}")
        path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/logs/{tries['try_number']}"
        content = self._request("GET", path, params={"full_content": True})["content"]
        return "\n".join(line for entry in content for line in log_lines(entry))

    def page(self, dag_id: str, run_id: str) -> str:
        """Return Retrofill's page of a run."""
        answer = self._http.get(f"/retrofill/dags/{dag_id}/runs/{quote(run_id, safe='')}")
        return answer.raise_for_status().text

    def connect(self, conn_id: str, conn_type: str, **fields: str) -> None:
        """Have Airflow keep a connection in its database, encrypted."""
        asked = {"connection_id": conn_id, "conn_type": conn_type, **fields}
        self._request("POST", "/api/v2/connections", json=asked)

    def trigger_as_of(
        self, dag_id: str, run_id: str, moment: datetime, params: dict[str, Any] | None = None
    ) -> None:
        """Start a run of a DAG for a moment in the past."""
        asked = {
            "dag_run_id": run_id,
            "logical_date": None if params else moment.isoformat(),
            "run_after": moment.isoformat(),
            "conf": params or {},
        }
        self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=asked)

    def note(self, dag_id: str, run_id: str) -> str:
        """Return the note of a DAG run."""
        return str(self._request("GET", run_path(dag_id, run_id))["note"])

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the asset events that runs of a DAG have sent."""
        asked = {"source_dag_id": dag_id}
        events: list[dict[str, Any]] = self._request("GET", "/api/v2/assets/events", params=asked)[
            "asset_events"
        ]
        return events

    def backfill(
        self,
        dag_id: str,
        first: datetime,
        last: datetime,
        *,
        backwards: bool = False,
        at_once: int = 3,
    ) -> None:
        """Ask Airflow for a run for each interval that begins between two moments."""
        asked = {
            "dag_id": dag_id,
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "max_active_runs": at_once,
            "reprocess_behavior": "none",
            "dag_run_conf": {},
            "run_backwards": backwards,
        }
        self._request("POST", "/api/v2/backfills", json=asked)
