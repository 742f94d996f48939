"""A whole run with a canary, task by task as in Airflow, and its forecast."""

import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retrofill.config import RunConfig, params_for
from retrofill.engine.fit import Range
from retrofill.engine.forecast import Forecast
from retrofill.environment import EnvironmentConnections
from retrofill.model.plan import RunPlan
from retrofill.model.runs import DagRun
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.canary import record_findings, require_success
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.invoke import Invoker, take
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.pipeline.open_run import open_run
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.pipeline.show_plan import show_plan
from retrofill.state import runs
from retrofill.state.canary import find_canary
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease
from retrofill.state.maintenance import OpenRun
from retrofill.wiring import Wiring

from benchmarks.command import FailedError

AT_ONCE = 4
"""Tasks that call at once, as on a small machine."""

TASK_S = Range(0.0, 0.1, 1.0)
"""Seconds in which a task starts: here it is forked, Airflow starts a process."""

_MAY_TAKE_S = 600.0


@dataclass(frozen=True)
class _Airflow:
    """An Airflow without other DAG runs."""

    most_mapped: int = 1_024
    lived: list[str] = field(default_factory=list)

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        del dag_id
        self.lived.extend(dag_run_ids)
        return True

    def tell_abandoned(self, conn: Connection, run: OpenRun) -> None:
        del conn, run

    def tell_if_paused(self, conn: Connection, run: OpenRun) -> None:
        del conn, run


class Passed(NamedTuple):
    """A run that is complete."""

    planned_calls: int
    """By the survey of its plan, including the canary."""

    forecast: Forecast
    """Made when the canary was judged, for the time from then on and for the whole cost."""

    seconds: float
    """From then to the closed run."""

    cost: float
    """Dollars, as counted by the run itself."""


def pass_through(params: dict[str, Any]) -> Passed:
    """Make a run over a bucket, to its end.

    :raises FailedError: it did not come to its end
    """
    config, airflow = params_for("s3").config(params), _Airflow()
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        ref = open_run(conn, wiring.plan(config), DagRun("accuracy", f"at {time.time()}"))
        if ref is None:
            raise FailedError("a preview is not a run")
        run = runs.get_run(conn, ref.run_id)
        source = wiring.source_of(config, run)
        for part in list_partitions(conn, ref, config, source):
            enqueue(conn, ref, part["part_no"], source)
        tasks = plan_batches(conn, ref, airflow)
        plan = show_plan(
            conn,
            run,
            config,
            shape=wiring.shape_of(config, run),
            source=wiring.survey_of(config, run),
            slots=Slots(AT_ONCE, AT_ONCE, "pool"),
            capacity=None,
        )
        canary = find_canary(conn, ref.run_id)
        if canary is None:
            raise FailedError("the run has no canary")
        _call_all(run.run_id, [canary.batch_id], counts=True)
        found = record_findings(conn, run, config, canary.batch_id, at_once=AT_ONCE, task_s=TASK_S)
        require_success(conn, run, canary.batch_id, found)
        began = time.monotonic()
        _call_all(run.run_id, [task["batch_id"] for task in tasks], counts=False)
        close_run(conn, ref, airflow)
        seconds = time.monotonic() - began
        stored = runs.get_run(conn, ref.run_id).plan
        cost = runs.get_report(conn, ref.run_id).cost or 0.0
    completed = RunPlan.from_json(stored or {})
    return Passed(plan.counts.calls, Forecast.from_json(completed.forecast), seconds, cost)


def _call_all(run_id: int, batch_ids: list[int], *, counts: bool) -> None:
    """Call the items of batches, each in its own task, and AT_ONCE of them at a time."""
    context = multiprocessing.get_context("fork")
    with context.Pool(AT_ONCE, maxtasksperchild=1) as pool:
        jobs = [pool.apply_async(_call, (run_id, batch_id, counts)) for batch_id in batch_ids]
        for job in jobs:
            job.get(_MAY_TAKE_S)


def _call(run_id: int, batch_id: int, counts: bool) -> None:  # noqa: FBT001  apply_async passes it
    """Do what an invoke task does."""
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        run = runs.get_run(conn, run_id)
    config = RunConfig.from_stored(run.config)
    with closing(BatchLease(wiring.state_dsn, batch_id, f"process {os.getpid()}")) as lease:
        if not take(lease, holder_is_dead=lambda _: False):
            return
        with closing(wiring.client_of(config, run, reports_usage=counts)) as client:
            Invoker(
                lease=lease,
                client=client,
                shape=wiring.shape_of(config, run),
                run=run,
                config=config,
                keeps_usage=counts,
                stop_asked=lambda: False,
            ).run()
