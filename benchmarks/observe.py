"""Runs of DAGs on a stack of its own, and what was seen of each."""

import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg2
import psycopg2.extras

from benchmarks.measure import Memory, MemoryWatch, cpu_s
from stack.airflow_api import AirflowApi
from stack.endpoint import ScriptedEndpoint, Stats
from stack.settings import Settings

DAG_ID = "retrofill_s3"
_MAY_TAKE_S = 3600


class FailedRunError(Exception):
    """A DAG run failed or did not end."""


@dataclass
class Observed:
    """What was seen of one DAG run."""

    wall_s: float
    instances: dict[str, list[dict[str, Any]]]
    """By task."""
    memory: dict[str, Memory]
    """By the id of the task instance."""
    cpu_s: float
    """Seconds of CPU that the stack took: Airflow, its tasks and Postgres, not the endpoint."""
    stats: Stats | None = None
    """What the endpoint counted; None: it was not part of the run."""
    repeated: int = 0
    """Items that the endpoint got more than once."""
    counts: dict[str, Any] = field(default_factory=dict)
    """The run's row of v_run."""
    calls_s: float = 0.0
    """Seconds from the first call's leaving to the last one's end."""

    @property
    def tasks(self) -> int:
        """How many task instances there were."""
        return sum(len(instances) for instances in self.instances.values())


class Benchmark:
    """Runs DAGs and observes them."""

    def __init__(self, settings: Settings, airflow: AirflowApi, endpoint: ScriptedEndpoint) -> None:
        self._dsn = settings.state_dsn
        supervisor = int((settings.directory / "supervisord.pid").read_text())
        self._supervisor = psutil.Process(supervisor)
        self._airflow = airflow
        self._endpoint = endpoint

    def observe(self, dag_id: str, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run a DAG to its end.

        :raises FailedRunError: it failed; the message tells why
        """
        with MemoryWatch() as watch:
            began, cpu_before_s = time.monotonic(), cpu_s(self._supervisor)
            self._airflow.trigger(dag_id, dag_run_id, params)
            self._await_end(dag_id, dag_run_id)
            wall_s = time.monotonic() - began
            taken_s = cpu_s(self._supervisor) - cpu_before_s
        instances: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self._airflow.task_instances(dag_id, dag_run_id):
            instances[one["task_id"]].append(one)
        return Observed(wall_s, instances, watch.of_task, taken_s)

    def retrofill(self, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run the DAG of objects on S3, and read what it and the endpoint counted."""
        self._endpoint.reset()
        seen = self.observe(DAG_ID, dag_run_id, params)
        seen.stats = self._endpoint.stats()
        seen.repeated = len(self._endpoint.items(above=1, of="received"))
        with (
            closing(psycopg2.connect(self._dsn)) as conn,
            conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
        ):
            cursor.execute("SELECT * FROM retrofill.v_run ORDER BY run_id DESC LIMIT 1")
            (row,) = cursor.fetchall()
            cursor.execute(
                "SELECT coalesce(extract(epoch FROM max(ended_at) - min(sent_at)), 0)::float AS s"
                " FROM retrofill.v_call WHERE run_id = %s",
                (row["run_id"],),
            )
            (times,) = cursor.fetchall()
        seen.counts, seen.calls_s = dict(row), times["s"]
        return seen

    def _await_end(self, dag_id: str, dag_run_id: str) -> None:
        try:
            state = self._airflow.await_end(dag_id, dag_run_id, within_s=_MAY_TAKE_S)
        except TimeoutError as error:
            raise FailedRunError(str(error)) from error
        if state == "failed":
            lines = [f"{dag_run_id} failed", *self._airflow.failures(dag_id, dag_run_id)]
            raise FailedRunError("\n".join(lines))
