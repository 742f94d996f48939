"""The survey of a set: one pass that counts exactly what the first set of a run would call."""

from datetime import datetime
from math import ceil

from retrofill.config import RunConfig
from retrofill.engine.first_calls import first_calls
from retrofill.engine.histogram import Histograms
from retrofill.events import CompiledShape
from retrofill.model.amounts import counted
from retrofill.model.calls import Loaded
from retrofill.model.plan import Counts, FirstPayload, RunPlan
from retrofill.model.report import Report
from retrofill.model.runs import Run, SetRef
from retrofill.sources import Source
from retrofill.state import others, plans, runs
from retrofill.state.connection import Connection


class Survey:
    """What the calls of a set would be, batch by batch, and the sizes and ages of their items.

    :param shape: the run's event shape
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


def survey(
    conn: Connection,
    run: Run,
    config: RunConfig,
    *,
    shape: CompiledShape,
    source: Source,
) -> RunPlan:
    """Return the plan of a run whose first set has its batches: what it would call, exactly.

    :param source: asked for its size, if the first set is not all
    :raises SourceError: the source did not answer
    """
    found = Survey(config, run, shape, plans.read_clock(conn))
    portions = plans.loaded_batches(
        conn, SetRef(run.run_id, 1), run.job_id, of=run.delivery.items_per_call
    )
    for batch in portions:
        found.batches += 1
        for loaded in batch:
            found.add(loaded)
    with_others = sum(other.items for other in others.look(conn, run.run_id))
    report = runs.get_report(conn, run.run_id)
    return RunPlan(
        counts=_counts(found, report, with_others, source, plans.count_canary(conn, run.run_id)),
        sizes=found.histograms.sizes,
        ages=found.histograms.ages,
        payload=found.first,
        target=_target(config, run),
        limits=plans.read_limits(conn, run.run_id).as_json(),
    )


def _counts(found: Survey, report: Report, with_others: int, source: Source, canary: int) -> Counts:
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
        with_others=with_others,
        items=found.items,
        calls=found.calls,
        batches=found.batches,
        payload_bytes=found.payload_bytes,
        item_bytes=found.histograms.size,
        partitions_left=report.partitions_left,
        canary=canary,
        items_after=after,
        calls_after=calls_after,
        batches_after=batches_after,
    )


def _target(config: RunConfig, run: Run) -> list[tuple[str, str]]:
    function, limits = run.function, config.limits
    version = f" version {function.version}" if function.version else ""
    facts = [f"timeout {function.timeout_s:,} s", *function.words_of_facts]
    per_call = f"up to {counted(run.delivery.items_per_call, 'item')} per call"
    return [
        ("job", run.job),
        ("source", f"{config.source.label()}, {config.source_kind.title}"),
        ("function", ", ".join([f"{function.name}{version}", *facts])),
        ("event", f"{run.delivery.event}, {per_call}, answers read as {run.delivery.answer}"),
        ("attempts", f"up to {limits.max_attempts:,} of an item before it is quarantined"),
    ]
