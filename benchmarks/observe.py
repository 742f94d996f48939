"""Run DAGs on a separate stack, and measure each run."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2
import psycopg2.extras

from benchmarks.command import FailedError, say
from benchmarks.measure import Memory, cpu_s, task_memory
from stack.airflow_api import AirflowApi
from stack.endpoint import Script, ScriptedEndpoint, Stats
from stack.scripted import scripted_stack
from stack.settings import Settings

_DAG_ID = "retrofill_s3"
_DAG_WITHIN_S = 120
_MAY_TAKE_S = 3600
_KB_PER_MB = 1024
_CALLS_S = """
SELECT coalesce(extract(epoch FROM max(ended_at) - min(sent_at)), 0)::float
FROM retrofill.v_call WHERE run_id = %s
"""


class TaskFigures(NamedTuple):
    """Measurements of the executed instances of a task; times in s since 1970."""

    instances: int
    began: float
    ended: float
    longest_s: float
    resident_mb: float
    """The most of one instance; 0 if all ended before the first sample."""
    private_mb: float


@dataclass
class Observed:
    """Measurements of one DAG run."""

    wall_s: float
    cpu_s: float
    """CPU seconds of the stack: Airflow, its tasks and Postgres, not the endpoint."""
    stats: Stats
    """The endpoint's counts."""
    instances: dict[str, list[dict[str, Any]]]
    """By task."""
    memory: dict[str, Memory]
    """By the id of the task instance."""
    repeated: int = 0
    """Items that the endpoint received more than once."""
    counts: dict[str, Any] = field(default_factory=dict)
    """The run's row of v_run."""
    calls_s: float = 0.0
    """Seconds from sending the first call to the end of the last one."""

    def task(self, task_id: str) -> TaskFigures | None:
        """Return the measurements of a task; None if it was skipped."""
        executed = [one for one in self.instances[task_id] if one["start_date"] and one["end_date"]]
        if not executed or (executed[0]["state"] == "skipped" and executed[0]["map_index"] < 0):
            return None
        spans = [
            [datetime.fromisoformat(one[end]).timestamp() for end in ("start_date", "end_date")]
            for one in executed
        ]
        memory = [self.memory.get(one["id"], Memory()) for one in executed]
        return TaskFigures(
            instances=len(executed),
            began=min(start for start, _ in spans),
            ended=max(end for _, end in spans),
            longest_s=max(end - start for start, end in spans),
            resident_mb=max(one.resident for one in memory) / _KB_PER_MB,
            private_mb=max(one.private for one in memory) / _KB_PER_MB,
        )


class Observer:
    """Runs DAGs and measures them."""

    def __init__(self, settings: Settings, airflow: AirflowApi, endpoint: ScriptedEndpoint) -> None:
        self._dsn = settings.state_dsn
        supervisor = int((settings.directory / "supervisord.pid").read_text())
        self._supervisor = psutil.Process(supervisor)
        self._airflow = airflow
        self._endpoint = endpoint

    def observe(self, dag_id: str, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run a DAG to its end.

        :raises FailedError: it failed, with the logs of its tasks; or it took too long
        """
        self._airflow.unpause(dag_id, within_s=_DAG_WITHIN_S)
        self._endpoint.reset()
        with task_memory() as memory:
            began, cpu_before_s = time.monotonic(), cpu_s(self._supervisor)
            self._airflow.trigger(dag_id, dag_run_id, params)
            try:
                state = self._airflow.await_end(dag_id, dag_run_id, within_s=_MAY_TAKE_S)
            except TimeoutError as error:
                raise FailedError(str(error)) from error
            wall_s = time.monotonic() - began
            taken_s = cpu_s(self._supervisor) - cpu_before_s
        if state == "failed":
            lines = [f"{dag_run_id} failed", *self._airflow.failures(dag_id, dag_run_id)]
            raise FailedError("\n".join(lines))
        instances: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self._airflow.task_instances(dag_id, dag_run_id):
            instances[one["task_id"]].append(one)
        return Observed(wall_s, taken_s, self._endpoint.stats(), instances, memory)

    def retrofill(self, dag_run_id: str, params: dict[str, Any]) -> Observed:
        """Run the DAG for S3 objects; measure also its counts and the endpoint's."""
        seen = self.observe(_DAG_ID, dag_run_id, params)
        seen.repeated = len(self._endpoint.items(above=1, of="received"))
        with (
            closing(psycopg2.connect(self._dsn)) as conn,
            conn.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor,
        ):
            cursor.execute("SELECT * FROM retrofill.v_run ORDER BY run_id DESC LIMIT 1")
            (row,) = cursor.fetchall()
            seen.counts = dict(row)
            cursor.execute(_CALLS_S, (row["run_id"],))
            ((seen.calls_s,),) = cursor.fetchall()
        return seen


@contextmanager
def observer(script: Script, dag_id: str, dag: str) -> Iterator[Observer]:
    """Run a separate stack on the scripted endpoint, with one more DAG.

    :param dag: the Python code of that DAG
    :raises StackError: it cannot start
    """
    with tempfile.TemporaryDirectory(prefix="retrofill-dags-") as directory:
        (Path(directory) / f"{dag_id}.py").write_text(dag)
        with (
            scripted_stack(script, dags=Path(directory), say=say) as (settings, endpoint),
            AirflowApi(settings) as airflow,
        ):
            observer = Observer(settings, airflow, endpoint)
            # The first run after a start pays for everything that Airflow loads once.
            observer.observe(dag_id, "warming", {})
            yield observer
