"""Make the plan of a run: survey its first set, store the plan, and show it in the log."""

import logging
from dataclasses import replace

from retrofill.config import RunConfig
from retrofill.events import CompiledShape
from retrofill.functions.kind import Capacity
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.runs import Run
from retrofill.pipeline.admission import Slots, admission
from retrofill.pipeline.forecast import forecast_run
from retrofill.pipeline.survey import survey
from retrofill.sources import Source
from retrofill.state import plans
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


def show_plan(
    conn: Connection,
    run: Run,
    config: RunConfig,
    *,
    shape: CompiledShape,
    source: Source,
    slots: Slots,
    capacity: Capacity | None,
) -> RunPlan:
    """Return the stored plan of a run whose first set has its batches.

    :param shape: the run's event shape
    :param source: asked for its size, if the first set is not all
    :param slots: what Airflow gives to the tasks of the run
    :param capacity: how many calls the function accepts at once; None: unknown
    """
    plan = survey(conn, run, config, shape=shape, source=source)
    limits = Limits.from_json(plan.limits)
    checks = admission(
        plan.counts,
        limits,
        timeout_s=run.function.timeout_s,
        slots=slots,
        capacity=capacity,
        database_bytes=plans.database_size(conn),
    )
    made = forecast_run(run, config.source_kind, plan.counts, limits, at_once=slots.at_once)
    plan = replace(plan, checks=checks, forecast=made.as_json())
    plans.store_plan(conn, run.run_id, plan)
    log.info("the plan of run %d:\n%s", run.run_id, plan.markdown(config.source_kind.reasons))
    return plan
