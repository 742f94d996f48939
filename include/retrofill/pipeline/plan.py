"""The plan of a run: the results of all checks and look-ups before it is opened."""

from collections.abc import Iterator
from dataclasses import dataclass

from retrofill.config import RunConfig
from retrofill.engine.identity import fingerprint
from retrofill.events import CompiledShape
from retrofill.functions.kind import Asked
from retrofill.model.amounts import counted
from retrofill.model.connections import Connections
from retrofill.model.cost import Price
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError, FunctionChanged, FunctionUnavailable
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.runs import Job, Run, Window
from retrofill.pipeline.deliver import compile_delivery, find_delivery
from retrofill.sources import Source
from retrofill.sources.kind import Interval, Opening
from retrofill.triggers.live_filter import passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do: a preview shows it, or the run is opened with it."""

    config: RunConfig
    job: Job
    function: Pinned
    delivery: Delivery
    shape: CompiledShape
    source: Source
    """The source, without items that the live trigger would not send."""

    window: Window
    source_seen: bool
    """Whether the source has an object, before filters."""

    estimate: int | None
    """The approximate number of items in the source; None: unknown, or the run is open."""

    limits: Limits
    price: Price

    def lines(self) -> list[str]:
        """Return the plan as text, one line per part."""
        parts = {
            "job": self.job.name,
            "source": f"{self.config.source.label()}, {self.config.source_kind.title}",
            "items": "unknown" if self.estimate is None else f"about {self.estimate:,}",
            "function": described(self.function),
            "calls": f"event {self.delivery.event}, up to"
            f" {counted(self.delivery.items_per_call, 'item')} each,"
            f" answers read as {self.delivery.answer}",
            "limits": f"{self.limits.words}; {counted(self.config.limits.max_attempts, 'attempt')}"
            " of an item",
            "price": self.price.words or "unknown",
        }
        return [f"{name}: {words}" for name, words in parts.items()]


def described(function: Pinned) -> str:
    """Return a function's name, version and other facts as text."""
    version = f" version {function.version}" if function.version else ""
    facts = [f"timeout {function.timeout_s:,} s", *function.words_of_facts]
    return ", ".join([f"{function.name}{version}", *facts])


def plan(
    config: RunConfig,
    connections: Connections,
    interval: Interval,
    *,
    run_id: int = 0,
    run: Run | None = None,
) -> Plan:
    """Look up source, function and live trigger; write nothing.

    :param interval: the data interval of the DAG run
    :param run_id: the number that the run will have, for its events
    :param run: the run, if it is open: delivery, window and price are then fixed
    :raises ConfigError: one of them cannot be used as requested
    :raises FunctionChanged: the function has changed since the run was opened
    :raises SourceError: the source did not answer; a retry may succeed
    :raises FunctionUnavailable: function or live trigger could not be looked up
    """
    asked = Asked(connections, config.job.aws_conn_id)
    window = run.window if run else config.source.window(interval)
    survey = open_source(config, connections, window)
    try:
        source_seen = survey.check()
    except ConfigError as mistake:
        raise ConfigError(*mistake.problems, *_problems_of_function(config, asked)) from mistake
    delivery = run.delivery if run else find_delivery(config, asked)
    asked = asked._replace(trigger=delivery.trigger)
    function = config.function_kind.resolve(config.function, asked)
    if run:
        _require_same(config, run.function, function)
    shape = compile_delivery(
        config,
        delivery,
        function,
        job=config.job_name,
        run_id=run.run_id if run else run_id,
    )
    source = open_source(config, connections, window, delivery, shape)
    reserve = None if run else config.limits.reserve_percent
    origin = config.source.origin()
    known_by = config.function.identity(function)
    marks = fingerprint(source=origin, function=known_by, event=delivery.event)
    return Plan(
        config=config,
        job=Job(config.job_name, marks, origin, known_by, delivery.event),
        function=function,
        delivery=delivery,
        shape=shape,
        source=source,
        window=window,
        source_seen=source_seen,
        estimate=None if run else survey.estimate(),
        limits=config.limits.of_run(
            None if reserve is None else _ceiling(config, function, reserve, asked)
        ),
        price=run.price if run else _price(config, function),
    )


def _require_same(config: RunConfig, then: Pinned, now: Pinned) -> None:
    """Check that a run would call the function with which it was opened.

    With ``approve``, everything known about the function must be the same. Otherwise only the
    version must be the same, and code without a version may change.
    """
    whole = config.approval.approve
    before, after = dict(_marks(then, whole=whole)), dict(_marks(now, whole=whole))
    changed = [
        f"{name.replace('_', ' ')} was {before.get(name)}, and is now {after.get(name)}"
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    if changed:
        raise FunctionChanged(
            f"function: {now.name} is not what it was when this run was opened:"
            f" {'; '.join(changed)}. The run calls nothing more; start another run of the job, or"
            " name a version that does not change"
        )


def _marks(function: Pinned, *, whole: bool) -> Iterator[tuple[str, object]]:
    yield "version", function.version
    if whole:
        yield "timeout", function.timeout_s
        yield from function.facts.items()


def _problems_of_function(config: RunConfig, asked: Asked) -> tuple[str, ...]:
    try:
        config.function_kind.resolve(config.function, asked)
    except ConfigError as mistake:
        return mistake.problems
    except FunctionUnavailable:
        pass
    return ()


def open_source(
    config: RunConfig,
    connections: Connections,
    window: Window,
    delivery: Delivery | None = None,
    shape: CompiledShape | None = None,
) -> Source:
    """Open the source of a run.

    :param delivery: given with its shape, to leave out items that the live trigger would not send
    :raises ConfigError: a pattern of the live trigger is malformed, or has an unknown operator
    """
    sends = passes(delivery, shape) if delivery and shape else None
    opening = Opening(connections, config.job.aws_conn_id, window, sends)
    return config.source_kind.open(config.source, opening)


def _price(config: RunConfig, function: Pinned) -> Price:
    """Return the price of calls, which must be known if ``max_cost`` is given."""
    look_up = config.function_kind.price
    price = config.prices.over(look_up and look_up(config.function, function))
    if config.limits.max_cost is None or price.is_known:
        return price
    give = " and ".join(price.missing) or "price_per_call, price_per_item or both"
    raise ConfigError(
        f"max_cost: {config.limits.max_cost:,} needs the cost of a call, which is not known"
        f"{f' ({price.words})' if price.words else ''}; give {give}, or leave max_cost empty"
    )


def _ceiling(config: RunConfig, function: Pinned, reserve: int, asked: Asked) -> int:
    look_up = config.function_kind.ceiling
    if look_up is None:
        raise ConfigError(
            f"reserve_percent: {reserve} is not allowed, as {config.function_kind.title} reports no"
            " limit of its concurrency; leave it empty, and set max_concurrency"
        )
    return look_up(function, reserve, asked)
