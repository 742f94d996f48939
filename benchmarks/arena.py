"""Where contenders are measured one after another: one endpoint, one Postgres, one set of rules."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import psycopg2

from benchmarks.contenders.planned import PlannedState, planned_state
from benchmarks.contenders.work import REGION, Measured, Work, WrongCountError
from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.settings import REPOSITORY

OURS = "ours"
AIOBOTOCORE = "aiobotocore"
_MODULES = {
    OURS: "ours",
    "boto3": "boto3_threads",
    AIOBOTOCORE: "aiobotocore_tasks",
    "awscrt": "bare_awscrt",
}
_AIOBOTOCORE_PYTHON = REPOSITORY / ".venv-aiobotocore" / "bin" / "python"
_MAY_TAKE_S = 600


class MissingContenderError(Exception):
    """A contender is not installed."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One measurement."""

    calls: int
    client: Measured
    server_cpu_s: float
    """Seconds of CPU of Postgres meanwhile; 0 for those who keep no state."""
    endpoint_cpu_s: float
    """Seconds of CPU of the endpoint, which is one thread."""


class Arena:
    """Measures contenders in turns."""

    def __init__(self, endpoint: ScriptedEndpoint, state: PlannedState, home: Path) -> None:
        self._endpoint = endpoint
        self._endpoint_process = psutil.Process(endpoint.process_id)
        self._state = state
        self._home = home

    def measure(self, contender: str, work: Work, batch_items: int) -> Observed:
        """Have a contender make calls, and count them at the other end.

        :param batch_items: the most items of a batch; for ours alone
        :raises WrongCountError: what it did is not what it was asked for
        """
        self._endpoint.reset()
        if contender == OURS:
            observed = self._measure_ours(work, batch_items)
        else:
            observed = self._observe(contender, work, {})
        stats = self._endpoint.stats()
        if (stats.invocations, stats.executions) != (observed.calls, observed.calls):
            raise WrongCountError(
                f"{contender}: the endpoint got {stats.invocations} calls and executed"
                f" {stats.executions}, not {observed.calls}"
            )
        if stats.max_in_flight > work.in_flight:
            raise WrongCountError(
                f"{contender}: {stats.max_in_flight} calls were in flight at once, more than the"
                f" {work.in_flight} asked for"
            )
        return observed

    def _measure_ours(self, work: Work, batch_items: int) -> Observed:
        items = work.calls * work.items_per_call
        with self._state.database(items, batch_items, work.in_flight) as (dsn, batches):
            work = Work(**{**asdict(work), "batches": batches})
            aws = {
                "conn_type": "aws",
                "extra": {"endpoint_url": work.url, "region_name": REGION},
            }
            observed = self._observe(
                OURS,
                work,
                {
                    "AIRFLOW_HOME": str(self._home),
                    "AIRFLOW_CONN_RETROFILL_STATE": dsn,
                    "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
                },
            )
            with psycopg2.connect(dsn) as conn, conn.cursor() as cur:
                cur.execute("SELECT calls, succeeded, items_left FROM retrofill.v_run")
                counts = cur.fetchall()
            conn.close()
        if counts != [(observed.calls, items, 0)]:
            raise WrongCountError(
                f"ours: calls, items succeeded and left are {counts}, not {(work.calls, items, 0)}"
            )
        return observed

    def _observe(self, contender: str, work: Work, environment: dict[str, str]) -> Observed:
        server_cpu_s, endpoint_cpu_s = self._state.cpu_s(), self._endpoint_cpu_s()
        python = _AIOBOTOCORE_PYTHON if contender == AIOBOTOCORE else sys.executable
        done = subprocess.run(  # noqa: S603  our own modules
            [python, "-m", f"benchmarks.contenders.{_MODULES[contender]}"],
            input=json.dumps(asdict(work)),
            stdout=subprocess.PIPE,
            env={**_surroundings(), **environment},
            cwd=REPOSITORY,
            text=True,
            check=True,
            timeout=_MAY_TAKE_S,
        )
        return Observed(
            calls=work.calls,
            client=Measured(**json.loads(done.stdout.splitlines()[-1])),
            server_cpu_s=self._state.cpu_s() - server_cpu_s if contender == OURS else 0.0,
            endpoint_cpu_s=self._endpoint_cpu_s() - endpoint_cpu_s,
        )

    def _endpoint_cpu_s(self) -> float:
        return sum(self._endpoint_process.cpu_times()[:2])


def require(contenders: Iterable[str]) -> None:
    """Make sure that all contenders can run.

    :raises MissingContenderError: one cannot
    """
    if AIOBOTOCORE in contenders and not _AIOBOTOCORE_PYTHON.exists():
        raise MissingContenderError(
            "--contenders: aiobotocore needs an environment of its own, which make bench-calling"
            " makes; leave it out, or make that"
        )


@contextmanager
def arena(latency_s: float) -> Iterator[tuple[Arena, str]]:
    """Start the servers; yield the arena and the address of the endpoint.

    :param latency_s: seconds that a call takes in the function
    """
    with (
        tempfile.TemporaryDirectory(prefix="retrofill-airflow-") as home,
        scripted_endpoint(Script(latency=latency_s, count_items=False)) as endpoint,
        planned_state() as state,
    ):
        yield Arena(endpoint, state, Path(home)), endpoint.url


def _surroundings() -> dict[str, str]:
    """Return the environment without what a person has set for real servers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "AIRFLOW_")) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
