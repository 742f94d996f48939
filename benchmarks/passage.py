"""A whole run with a canary, task by task as in Airflow, and its forecast."""

import multiprocessing
import time
from typing import Any, NamedTuple

from retrofill.config import params_for
from retrofill.engine.fit import Range
from retrofill.engine.forecast import Forecast
from retrofill.environment import EnvironmentConnections
from retrofill.model.plan import RunPlan
from retrofill.model.runs import DagRun
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.canary import record_findings, require_success
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.pipeline.open_run import open_run
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.pipeline.show_plan import show_plan
from retrofill.state import runs
from retrofill.state.canary import find_canary
from retrofill.wiring import Wiring

from benchmarks.command import FailedError
from benchmarks.task import invoke_task
from tests.integration.opened import ALL_LIVE

AT_ONCE = 4
"""Tasks that call at the same time, as on a small machine."""
TASK_S = Range(0.0, 0.1, 1.0)
"""Seconds in which a task starts: here it is forked, Airflow starts a process."""
_MAY_TAKE_S = 600.0


class Passed(NamedTuple):
    """A complete run."""

    planned_calls: int
    """By the survey of its plan, including the canary."""
    forecast: Forecast
    """Made when the canary was judged: the time from then on, and the whole cost."""
    seconds: float
    """From then to the closed run."""
    cost: float
    """Dollars, as counted by the run itself."""


def pass_through(params: dict[str, Any]) -> Passed:
    """Make a run over a bucket, to its end.

    :raises FailedError: it has no canary, or does not open
    """
    config = params_for("s3").config(params)
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        ref = open_run(conn, wiring.plan(config), DagRun("accuracy", f"at {time.time()}"))
        if ref is None:
            raise FailedError("a preview is not a run")
        run = runs.get_run(conn, ref.run_id)
        source = wiring.source_of(config, run)
        for part in list_partitions(conn, ref, config, source):
            enqueue(conn, ref, part["part_no"], source)
        tasks = plan_batches(conn, ref, ALL_LIVE)
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
        _call_all(run.run_id, [canary.batch_id], usage=True)
        found = record_findings(conn, run, config, canary.batch_id, at_once=AT_ONCE, task_s=TASK_S)
        require_success(conn, run, canary.batch_id, found)
        began = time.monotonic()
        _call_all(run.run_id, [task["batch_id"] for task in tasks], usage=False)
        close_run(conn, ref, ALL_LIVE)
        seconds = time.monotonic() - began
        stored = runs.get_run(conn, ref.run_id).plan
        cost = runs.get_report(conn, ref.run_id).cost or 0.0
    completed = RunPlan.from_json(stored or {})
    return Passed(plan.counts.calls, Forecast.from_json(completed.forecast), seconds, cost)


def _call_all(run_id: int, batch_ids: list[int], *, usage: bool) -> None:
    """Call the items of batches, each in its own task, and AT_ONCE of them at a time."""
    context = multiprocessing.get_context("fork")
    with context.Pool(AT_ONCE, maxtasksperchild=1) as pool:
        jobs = [pool.apply_async(_call, (run_id, batch_id, usage)) for batch_id in batch_ids]
        for job in jobs:
            job.get(_MAY_TAKE_S)


def _call(run_id: int, batch_id: int, usage: bool) -> None:  # noqa: FBT001  apply_async passes it
    with invoke_task(run_id, usage=usage) as invoke:
        invoke(batch_id)
