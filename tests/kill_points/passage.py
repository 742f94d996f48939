"""A whole run in a process of its own, task by task as Airflow has them, to its end or its death.

``python -m tests.kill_points.passage`` reads passages from its standard input, a JSON line each.
For each it forks a process that makes it, and answers with that process's exit code: -9 if it was
killed. What a task returned is noted in a journal, so that the next process goes on with the task
that was killed, as Airflow's next try would.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from retrofill.aws.session import CONTROL_PLANE
from retrofill.config import RunConfig, params_for
from retrofill.faults import Point, armed, injected
from retrofill.functions.aws_lambda.client import open_client
from retrofill.model.report import Report
from retrofill.model.runs import DagRun, SetRef
from retrofill.pipeline import enqueue as enqueueing
from retrofill.pipeline import plan_batches as planning
from retrofill.pipeline.canary import record_findings, require_success
from retrofill.pipeline.close_run import close_run, conclude
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.pipeline.open_run import open_run
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.sources import SOURCES
from retrofill.sources.s3 import source as s3
from retrofill.state import runs
from retrofill.state.canary import find_canary
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

from tests.given import Given, s3_source
from tests.integration.opened import ALL_LIVE

# Small, so that a small source has several of each.
PAGE_KEYS = 12
CHUNK_ITEMS = 12
BATCH_ITEMS = 40


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One process's way through a run."""

    dsn: str
    endpoint_url: str
    params: dict[str, Any]
    dag_run_id: str
    journal: str
    """The file of what tasks returned."""
    notices: str
    """The file that gets the notification."""
    fault: str = ""
    """What to arm, as RETROFILL_FAULT has it."""
    reached: str = ""
    """The file that gets the name of each point that is reached; empty: none."""


class _Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._returned: dict[str, Any] = dict(json.loads(line) for line in lines)

    def task(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a task, unless an earlier process has done it; return what it returned."""
        if name not in self._returned:
            returned = work()
            with self._path.open("a") as file:
                file.write(json.dumps([name, returned]) + "\n")
            self._returned[name] = returned
        return self._returned[name]


def make(passage: Passage) -> None:
    """Make a passage in this process."""
    s3.PAGE_KEYS, enqueueing.CHUNK_ITEMS = PAGE_KEYS, CHUNK_ITEMS
    planning.BATCH_ITEMS, planning.SMALLEST_BATCH = BATCH_ITEMS, BATCH_ITEMS
    planning.BATCH_CALLS = 1
    config = params_for("s3").config(passage.params)
    session = boto3.Session("key", "secret", region_name="us-east-1")
    api, bucket_api = (
        session.client(name, endpoint_url=passage.endpoint_url, config=CONTROL_PLANE)
        for name in ("lambda", "s3")
    )
    asked = DagRun("passage", passage.dag_run_id)
    wiring = Wiring(Given({"lambda": api, "s3": bucket_api}.__getitem__))
    source = s3_source(config, bucket_api)
    task = _Journal(Path(passage.journal)).task
    with closing(connect(passage.dsn)) as conn:
        ref = SetRef(
            *task(
                "open",
                lambda: (
                    runs.find_set(conn, asked.dag_id, asked.dag_run_id)
                    or open_run(conn, wiring.plan(config), asked)
                    or ()
                ),
            )
        )
        for part in task("list", lambda: list_partitions(conn, ref, config, source)):
            number = part["part_no"]
            task(
                f"enqueue {number}",
                lambda no=number: enqueue(conn, ref, no, source, redriven=config.redrive.selection),
            )
        batches = task("plan", lambda: plan_batches(conn, ref, ALL_LIVE))
        if config.canary.canary:
            task("canary", lambda: _canary(passage, config, session, api, conn, ref))
        for batch in batches:
            number = batch["batch_id"]
            task(f"invoke {number}", lambda no=number: _invoke(passage, config, session, api, no))
        task("close", lambda: close_run(conn, ref, ALL_LIVE))
        task("notify", lambda: _notify(conn, ref, Path(passage.notices)))


def _invoke(
    passage: Passage, config: RunConfig, session: boto3.Session, api: Any, batch_id: int
) -> Any:
    with closing(BatchLease(passage.dsn, batch_id, f"process {os.getpid()}")) as lease:
        if not take(lease, holder_is_dead=lambda _: True):
            return None
        with closing(connect(passage.dsn)) as conn:
            run = runs.get_run(conn, lease.run_id)
        client = open_client(
            api,
            credentials=session.get_credentials(),
            verify=None,
            function_arn=run.function.name,
            qualifier=run.function.version,
            function_timeout_s=run.function.timeout_s,
        )
        with closing(client):
            return Invoker(
                lease=lease,
                client=client,
                shape=shape_of(config, run),
                run=run,
                config=config,
                stop_asked=lambda: False,
            ).run()


def _canary(  # noqa: PLR0917  as _invoke has them
    passage: Passage, config: RunConfig, session: boto3.Session, api: Any, conn: Any, ref: SetRef
) -> None:
    found = find_canary(conn, ref.run_id)
    assert found is not None
    _invoke(passage, config, session, api, found.batch_id)
    run = runs.get_run(conn, ref.run_id)
    findings = record_findings(conn, run, config, found.batch_id, at_once=1)
    require_success(conn, run, found.batch_id, findings)


def _notify(conn: Any, ref: SetRef, notices: Path) -> None:
    """Do what the operator does, with a file in place of SNS."""

    def tell(report: Report) -> None:
        with notices.open("a") as file:
            file.write(json.dumps(report.as_text(SOURCES["s3"].reasons)) + "\n")

    conclude(conn, ref, ALL_LIVE, tell)


def _fork(passage: Passage) -> int:
    """Make a passage in a process of its own; return its exit code, or minus its signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with injected(_noting(passage)) if passage.fault or passage.reached else nullcontext():
                make(passage)
            code = 0
        except BaseException:  # noqa: BLE001  the process ends here, whatever it is
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _noting(passage: Passage) -> Callable[[Point], None]:
    act = armed(passage.fault) if passage.fault else None

    def at(point: Point) -> None:
        if passage.reached:
            with Path(passage.reached).open("a") as file:
                file.write(f"{point}\n")
        if act:
            act(point)

    return at


def line(passage: Passage) -> str:
    """Return a passage as the process reads it."""
    return json.dumps(asdict(passage)) + "\n"


if __name__ == "__main__":
    for text in sys.stdin:
        print(_fork(Passage(**json.loads(text))), flush=True)  # noqa: T201  the answer
