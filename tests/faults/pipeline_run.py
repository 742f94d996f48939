"""Whole runs without Airflow: the tasks of the DAG in order, each retried like there.

The tasks are the use cases that the operators call, on real Postgres and real HTTP.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from retrofill.aws.session import CONTROL_PLANE
from retrofill.config import RunConfig, params_for
from retrofill.engine.progress import Invoked, SendMetrics
from retrofill.functions.aws_lambda.client import invoke_client
from retrofill.functions.transport.client import HttpClient
from retrofill.model.delivery import Contract
from retrofill.model.errors import FINAL, FunctionUnusable, RetrofillError
from retrofill.model.report import Report
from retrofill.model.runs import DagRun, Run, SetRef
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import PartitionTask, list_partitions
from retrofill.pipeline.open_run import open_run
from retrofill.pipeline.plan_batches import BatchTask, plan_batches
from retrofill.sources import Source
from retrofill.state import limits, runs
from retrofill.state.connection import Connection, connect
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

from stack.endpoint import (
    Bucket,
    Function,
    Rule,
    S3Object,
    Script,
    ScriptedEndpoint,
)
from tests.faults.evidence import Evidence, gather, seen
from tests.given import Given, s3_source
from tests.integration.opened import ALL_LIVE
from tests.invariants import Sampler

T = TypeVar("T")

TRIES = 5
"""How often a task is tried: once, plus the DAG's retries."""

REGION, ACCOUNT = "us-east-1", "000000000000"

_making_clients = Lock()
_session = boto3.Session("key", "secret", region_name=REGION)


@dataclass
class Ending:
    """How a DAG run ended."""

    ref: SetRef
    report: Report
    errors: list[str] = field(default_factory=list)
    """The error of each task that failed finally."""
    retried: list[str] = field(default_factory=list)
    """The error of each try that was followed by another."""


@dataclass(kw_only=True)
class Backfill:
    """A job over a bucket of the scripted endpoint, and its runs."""

    dsn: str
    endpoint: ScriptedEndpoint
    job: str = "job"
    function: Function = field(default_factory=lambda: Function(name="f", timeout_seconds=1))
    params: dict[str, Any] = field(default_factory=dict)
    contract: Contract | None = None
    """How responses are read; None: by the event's contract."""
    task_dsn: str | None = None
    """How the tasks reach the state, if not like the checks."""
    aws_url: str | None = None
    """How the tasks reach S3 and Lambda, if not directly."""
    deadline_s: float = 2.0
    """The time after which a call is given up."""
    control_plane: Config = CONTROL_PLANE
    tries: int = TRIES
    metrics: Callable[[RunConfig, Run, int], SendMetrics] = lambda *_: lambda _: None
    """Makes the receiver of a task's metrics."""
    keys: list[str] = field(default_factory=list)
    """The keys of the source, once it is served."""

    def serve(self, objects: int | Sequence[str], *rules: Rule, **script: Any) -> None:
        """Make the endpoint serve a bucket and the function, and start counting."""
        if isinstance(objects, int):
            bucket = Bucket(name="bucket", generated=objects)
            self.keys = [f"data/{number:09}.json" for number in range(objects)]
        else:
            bucket = Bucket(name="bucket", objects=tuple(S3Object(key=key) for key in objects))
            self.keys = list(objects)
        self._script = Script(
            buckets=(bucket,),
            functions=(self.function,),
            rules=rules,
            **{"latency": 0.01, "record_calls": True, **script},
        )
        self.endpoint.script(self._script)
        self.endpoint.reset()

    def break_with(self, *rules: Rule, **script: Any) -> None:
        """Set the faults from now on."""
        self._script = replace(self._script, rules=rules, **script)
        self.endpoint.script(self._script)

    def run(self, dag_run_id: str = "run 1", *, watched: bool = True) -> Ending:
        """Make a DAG run from its first task to its last.

        :param watched: whether to sample the invariants meanwhile; a violation is raised
        """
        if not watched:
            return self._run(dag_run_id)
        with Sampler(self.dsn, self.job, lambda: seen(self.endpoint), every_s=0.2) as sampler:
            ended = self._run(dag_run_id)
        assert sampler.violations == []
        return ended

    def _run(self, dag_run_id: str) -> Ending:
        errors: list[str] = []
        retried: list[str] = []

        def tried(work: Callable[[], T]) -> T | None:
            try:
                return self._tried(work, retried)
            except RetrofillError as error:
                errors.append(f"{type(error).__name__}: {error}")
                return None

        ref = self._tried(lambda: self.open(dag_run_id), retried)
        with ThreadPoolExecutor(4) as pool:
            parts = tried(lambda: self.list_partitions(ref)) or []
            list(pool.map(lambda part: tried(lambda: self.enqueue(ref, part["part_no"])), parts))
            planned = [] if errors else tried(lambda: self.plan(ref)) or []
            list(pool.map(lambda batch: tried(lambda: self.invoke(batch["batch_id"])), planned))
        tried(lambda: self.close(ref))
        with closing(connect(self.dsn)) as conn:
            return Ending(ref, runs.get_report(conn, ref.run_id), errors, retried)

    def _tried(self, work: Callable[[], T], retried: list[str]) -> T:
        for number in range(1, self.tries + 1):
            try:
                return work()
            except FINAL:
                raise
            except RetrofillError as error:
                if number == self.tries:
                    raise
                retried.append(f"{type(error).__name__}: {error}")
                Event().wait(min(1.0, 0.1 * 2**number))
        raise AssertionError

    @property
    def config(self) -> RunConfig:
        """Return the config of the run."""
        asked = {"bucket": "bucket", "prefix": "data/", "function": "f", "job": self.job}
        return params_for("s3").config({**asked, "event": "s3", "max_attempts": 2, **self.params})

    def open(self, dag_run_id: str) -> SetRef:
        asked = DagRun(self.job, dag_run_id)
        with closing(connect(self.state)) as conn:
            known = runs.find_set(conn, asked.dag_id, asked.dag_run_id)
            if known is not None:
                return known
            opened = open_run(conn, Wiring(Given(self._client)).plan(self.config), asked)
            assert opened is not None
            return opened

    def list_partitions(self, ref: SetRef) -> list[PartitionTask]:
        with closing(connect(self.state)) as conn:
            return list_partitions(conn, ref, self.config, self.source())

    def enqueue(self, ref: SetRef, part_no: int) -> Any:
        with closing(connect(self.state)) as conn:
            return enqueue(conn, ref, part_no, self.source())

    def plan(self, ref: SetRef) -> list[BatchTask]:
        with closing(connect(self.state)) as conn:
            return plan_batches(conn, ref, ALL_LIVE)

    def close(self, ref: SetRef) -> bool:
        with closing(connect(self.state)) as conn:
            return close_run(conn, ref, ALL_LIVE)

    def invoke(
        self, batch_id: int, *, stop: Event | None = None, holder: str = "task"
    ) -> Invoked | None:
        with closing(BatchLease(self.state, batch_id, holder)) as lease:
            if not take(lease, holder_is_dead=lambda _: True):
                return None
            with closing(self.client(lease)) as client:
                return self.invoker(lease, client, stop or Event()).run()

    def client(self, lease: BatchLease) -> HttpClient:
        """Open the data plane for a leased batch."""
        run = self._run_of(lease)
        return invoke_client(
            endpoint_url=self.aws_url or self.endpoint.url,
            region=REGION,
            credentials=Credentials("key", "secret"),
            function_arn=run.function.name,
            qualifier=run.function.version,
            deadline_s=self.deadline_s,
            max_in_flight=1_000,
        )

    def invoker(self, lease: BatchLease, client: HttpClient, stop: Event) -> "_Stopping":
        """Make the invoke task of a leased batch."""
        run = self._run_of(lease)
        invoker = Invoker(
            lease=lease,
            client=client,
            shape=shape_of(self.config, run),
            run=run,
            config=self.config,
            stop_asked=stop.is_set,
            send_metrics=self.metrics(self.config, run, 0),
        )
        if self.contract is not None:
            invoker._replies._contract = self.contract  # noqa: SLF001  no param asks for one
        return _Stopping(self, invoker, run.run_id)

    def stop(self, run_id: int, reason: str) -> None:
        """Do what the operator does when the function cannot be called."""
        with closing(connect(self.state)) as conn:
            limits.stop(conn, run_id, reason)

    def source(self) -> Source:
        return s3_source(self.config, self._client("s3"))

    def connection(self) -> Connection:
        """Open a connection to the state by the route of the checks."""
        return connect(self.dsn)

    @property
    def state(self) -> str:
        """The URI by which tasks reach the state."""
        return self.task_dsn or self.dsn

    def evidence(self, listed: Collection[str] | None = None, **expected: Any) -> Evidence:
        """Return the results of the items; see :func:`tests.faults.evidence.gather`."""
        keys = self.keys if listed is None else listed
        return gather(self.dsn, self.job, self.endpoint, keys, **expected)

    def outcomes(self) -> dict[str | None, int]:
        """Return the number of calls by outcome."""
        with closing(connect(self.dsn)) as conn, conn, conn.cursor() as cur:
            cur.execute(
                "SELECT outcome::text, count(*) FROM retrofill.v_call WHERE job = %s GROUP BY 1",
                (self.job,),
            )
            return dict(cur.fetchall())

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Query the state."""
        with closing(connect(self.dsn)) as conn, conn, conn.cursor() as cur:
            cur.execute(query, values)
            return cur.fetchall()

    def _run_of(self, lease: BatchLease) -> Any:
        with closing(connect(self.state)) as conn:
            return runs.get_run(conn, lease.run_id)

    def _client(self, service: str) -> Any:
        with _making_clients:  # a session makes one client at a time
            return _session.client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.aws_url or self.endpoint.url,
                config=self.control_plane,
            )


@dataclass(frozen=True)
class _Stopping:
    """An invoke task that stops its run when the function cannot be called, like the operator's."""

    backfill: Backfill
    invoker: Invoker
    run_id: int

    def run(self) -> Invoked:
        try:
            return self.invoker.run()
        except FunctionUnusable as error:
            self.backfill.stop(self.run_id, str(error))
            raise
