"""The arena: measure contenders in turns, with one endpoint, one Postgres and one set of rules."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from typing import NamedTuple

import psutil
from retrofill.sources.memory import MemorySource

from benchmarks import runs
from benchmarks.command import FailedError
from benchmarks.contenders.work import Measured, Work
from benchmarks.event import SOURCE, items
from benchmarks.measure import cpu_s, server_of
from benchmarks.server import Database
from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.scripted import clean_environment
from stack.services import temporary_postgres
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
_US = 1_000_000
_KB_PER_MB = 1024


class Figures(NamedTuple):
    """The measurements of a contender."""

    cpu_us: float
    """CPU per call, in the client."""
    server_cpu_us: float
    """CPU per call, in Postgres; 0 for contenders without state."""
    endpoint_us: float
    """CPU per call, in the endpoint, which is one thread."""
    calls_per_s: float
    peak_mb: float
    grown_mb: float


class Arena:
    """Measures contenders in turns."""

    def __init__(self, endpoint: ScriptedEndpoint, database: Database) -> None:
        self._endpoint = endpoint
        self._endpoint_process = psutil.Process(endpoint.process_id)
        self._database = database

    def measure(self, contender: str, work: Work) -> Figures:
        """Make a contender send calls, and count them at the other end.

        :raises FailedError: it did not make these calls
        """
        self._endpoint.reset()
        if contender == OURS:
            figures = self._measure_ours(work)
        else:
            figures = self._observe(contender, work, {})
        stats = self._endpoint.stats()
        if (stats.invocations, stats.executions) != (work.calls, work.calls):
            raise FailedError(
                f"{contender}: the endpoint got {stats.invocations} calls and executed"
                f" {stats.executions}, not {work.calls}"
            )
        if stats.max_in_flight > work.in_flight:
            raise FailedError(
                f"{contender}: {stats.max_in_flight} calls were in flight, more than the"
                f" {work.in_flight} allowed"
            )
        return figures

    def _measure_ours(self, work: Work) -> Figures:
        """Measure our client on a run with one batch that was just planned."""
        count = work.calls * work.items_per_call
        # Calls begin right after planning, so nothing analyzes the tables in between.
        self._database.create(autovacuum=False)
        with closing(self._database.connect()) as conn:
            ref, _ = runs.screen(
                conn,
                MemorySource.of(items(count), name=SOURCE, page_items=count),
                nullcontext(),
                items_per_call=work.items_per_call,
                max_concurrency=work.in_flight,
            )
            runs.plan(conn, ref, most_items=count, fewest_items=count)
            server = server_of(conn)
            began_s = cpu_s(server)
            figures = self._observe(OURS, work, self._database.environment(work.url))
            server_cpu_s = cpu_s(server) - began_s
            with conn, conn.cursor() as cur:
                cur.execute("SELECT calls, succeeded, items_left FROM retrofill.v_run")
                counts = cur.fetchall()
        if counts != [(work.calls, count, 0)]:
            raise FailedError(
                f"ours: calls, succeeded items and items left are {counts},"
                f" not {(work.calls, count, 0)}"
            )
        return figures._replace(server_cpu_us=server_cpu_s / work.calls * _US)

    def _observe(self, contender: str, work: Work, environment: dict[str, str]) -> Figures:
        endpoint_cpu_s = cpu_s(self._endpoint_process)
        python = _AIOBOTOCORE_PYTHON if contender == AIOBOTOCORE else sys.executable
        done = subprocess.run(  # noqa: S603  our own modules
            [python, "-m", f"benchmarks.contenders.{_MODULES[contender]}"],
            input=json.dumps(asdict(work)),
            stdout=subprocess.PIPE,
            env={**clean_environment(), **environment},
            cwd=REPOSITORY,
            text=True,
            check=False,
            timeout=_MAY_TAKE_S,
        )
        if done.returncode != 0:
            raise FailedError(f"{contender} failed; see its error above")
        client = Measured(**json.loads(done.stdout.splitlines()[-1]))
        return Figures(
            cpu_us=client.cpu_s / work.calls * _US,
            server_cpu_us=0.0,
            endpoint_us=(cpu_s(self._endpoint_process) - endpoint_cpu_s) / work.calls * _US,
            calls_per_s=work.calls / client.wall_s,
            peak_mb=client.peak_kb / _KB_PER_MB,
            grown_mb=(client.peak_kb - client.before_kb) / _KB_PER_MB,
        )


@contextmanager
def arena(contenders: Iterable[str], latency_s: float) -> Iterator[tuple[Arena, str]]:
    """Start the servers; yield the arena and the address of the endpoint.

    :param contenders: all that will be measured
    :param latency_s: seconds that a call takes in the function
    :raises FailedError: a contender is not installed
    """
    if AIOBOTOCORE in contenders and not _AIOBOTOCORE_PYTHON.exists():
        raise FailedError(
            "--contenders: aiobotocore needs its own environment: run make bench-calling, which"
            " creates it, or leave aiobotocore out"
        )
    with (
        scripted_endpoint(Script(latency=latency_s, count_items=False)) as endpoint,
        temporary_postgres(durable=True) as server,
    ):
        yield Arena(endpoint, Database(server)), endpoint.url
