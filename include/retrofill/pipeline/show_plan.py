"""Make the plan of a run: count exactly what its first set would call, store it, and log it."""

import logging
from datetime import datetime
from math import ceil

from retrofill.config import RunConfig
from retrofill.engine.first_calls import first_calls
from retrofill.engine.histogram import Histograms
from retrofill.events import CompiledShape
from retrofill.functions.kind import Capacity
from retrofill.model.amounts import counted
from retrofill.model.calls import Loaded
from retrofill.model.plan import Counts, FirstPayload, RunPlan
from retrofill.model.runs import Run, SetRef
from retrofill.pipeline.admission import Slots, admission
from retrofill.pipeline.forecast import forecast_run
from retrofill.pipeline.plan import described
from retrofill.sources import Source
from retrofill.state import others, plans, runs
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
    :param source: asked for its size if there are further sets
    :param slots: Airflow's limits on the tasks of the run
    :param capacity: how many calls the function accepts at once; None: unknown
    :raises SourceError: the source did not answer
    """
    first_set = _FirstSet(config, run, shape, plans.read_clock(conn))
    for batch in plans.loaded_batches(
        conn, SetRef(run.run_id, 1), run.job_id, of=run.delivery.items_per_call
    ):
        first_set.batches += 1
        for loaded in batch:
            first_set.add(loaded)
    counts = _counts(conn, run, first_set, source)
    limits = plans.read_limits(conn, run.run_id)
    plan = RunPlan(
        counts=counts,
        sizes=first_set.histograms.sizes,
        ages=first_set.histograms.ages,
        payload=first_set.first,
        target=_target(config, run),
        limits=limits.as_json(),
        checks=admission(
            counts,
            limits,
            timeout_s=run.function.timeout_s,
            slots=slots,
            capacity=capacity,
            database_bytes=plans.database_size(conn),
        ),
        forecast=forecast_run(
            run, config.source_kind, counts, limits, at_once=slots.at_once
        ).as_json(),
    )
    plans.store_plan(conn, run.run_id, plan)
    log.info("the plan of run %d:\n%s", run.run_id, plan.markdown(config.source_kind.reasons))
    return plan


class _FirstSet:
    """The calls of a run's first set, and the sizes and ages of its items.

    :param now: the time from which ages are counted
    """

    def __init__(self, config: RunConfig, run: Run, shape: CompiledShape, now: datetime) -> None:
        self.items = 0
        self.calls = 0
        self.batches = 0
        self.payload_bytes = 0
        self.first: FirstPayload | None = None
        self.histograms = Histograms(now)
        self._shape = shape
        self._most_items = run.delivery.items_per_call
        self._most_bytes = config.function_kind.max_request_bytes
        self._measure = config.source_kind.measure

    def add(self, loaded: Loaded) -> None:
        """Add a portion of a batch, as an ``invoke`` task would load it."""
        if not loaded.items:
            return
        calls = first_calls(loaded, self._shape, self._most_items, self._most_bytes)
        self.items += len(loaded.items)
        self.calls += len(calls)
        between = len(loaded.items) - len(calls)
        records = sum(map(len, self._shape.records(loaded.items)))
        self.payload_bytes += len(calls) * self._shape.overhead + records + between
        if self.first is None:
            items = calls[0][0].items
            self.first = FirstPayload.of(self._shape.body(items), len(items))
        if self._measure is not None:
            self.histograms.add(list(map(self._measure, loaded.items)))


def _counts(conn: Connection, run: Run, found: _FirstSet, source: Source) -> Counts:
    report = runs.get_report(conn, run.run_id)
    seen = report.listed + sum(report.left_out.values())
    after = calls_after = batches_after = None
    estimate = source.estimate() if report.partitions_left and report.lists else None
    if estimate is not None:
        after = max(0, estimate - seen)
        calls_after = ceil(after * found.calls / found.items) if found.items else after
        batches_after = ceil(after * found.batches / found.items) if found.items else None
    return Counts(
        listed=report.listed,
        known=report.known,
        new=report.new,
        late=report.late,
        left_out=dict(report.left_out),
        resumed=report.resumed,
        redriven=report.redriven,
        with_others=sum(other.items for other in others.look(conn, run.run_id)),
        items=found.items,
        calls=found.calls,
        batches=found.batches,
        payload_bytes=found.payload_bytes,
        item_bytes=found.histograms.size,
        partitions_left=report.partitions_left,
        canary=plans.count_canary(conn, run.run_id),
        items_after=after,
        calls_after=calls_after,
        batches_after=batches_after,
    )


def _target(config: RunConfig, run: Run) -> list[tuple[str, str]]:
    per_call = f"up to {counted(run.delivery.items_per_call, 'item')} per call"
    return [
        ("job", run.job),
        ("source", f"{config.source.label()}, {config.source_kind.title}"),
        ("function", described(run.function)),
        ("event", f"{run.delivery.event}, {per_call}, answers read as {run.delivery.answer}"),
        ("attempts", f"up to {config.limits.max_attempts:,} of an item before it is quarantined"),
    ]
