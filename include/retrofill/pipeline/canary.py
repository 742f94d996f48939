"""The canary: call some items first. Their results decide whether the run continues."""

import logging
from dataclasses import replace
from random import SystemRandom

from retrofill.config import RunConfig
from retrofill.engine.causes import exceeded
from retrofill.engine.durations import Measured, Sample, Work, bytes_of
from retrofill.engine.fit import Range
from retrofill.model.canary import CanaryFindings
from retrofill.model.cost import Usage
from retrofill.model.errors import RunIncomplete
from retrofill.model.plan import RunPlan
from retrofill.model.runs import Run, SetRef
from retrofill.pipeline.forecast import TASK_S, forecast_run
from retrofill.state import canary as state
from retrofill.state import limits, plans, runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

_ALL = 100


def has_canary(config: RunConfig, ref: SetRef) -> bool:
    """Return whether a set of a run has a canary."""
    return config.canary.canary is not None and ref.set_no == 1


def choose(conn: Connection, ref: SetRef, run: Run, config: RunConfig) -> None:
    """Choose the canary of a run from its first set, and make it a batch."""
    take = config.canary.canary
    if take is None or not has_canary(config, ref):
        return
    measure = config.source_kind.measure
    chosen = state.choose_canary(
        conn, ref, run.job_id, take=take, measure=measure, rng=SystemRandom()
    )
    log.info("the canary has %d items", chosen.items if chosen else 0)


def require_success(conn: Connection, run: Run, batch_id: int, found: CanaryFindings) -> None:
    """Check the findings of a canary whose items are settled.

    :raises RunIncomplete: too much of the canary has failed; the run is stopped
    """
    allowed = limits.get_limits(conn, run.run_id)
    # However few items there are: the user chose the size of the sample.
    reason = _too_many(found, allowed.max_failure_percent) or exceeded(
        allowed.max_percent_by_cause, state.list_ended(conn, batch_id), 1
    )
    if reason is None:
        return
    reason = f"canary: {reason}"
    if found.troubles:
        reason += f"; calls that did not succeed: {found.trouble_words}"
    limits.stop(conn, run.run_id, reason)
    hints = [f"hint: {hint}" for hint in found.hints]
    raise RunIncomplete("\n".join([f"{reason}. Nothing else was called", *hints]))


def _too_many(found: CanaryFindings, percent: int | None) -> str | None:
    if percent is None or percent == _ALL or found.failed * 100 <= found.items * percent:
        return None
    return (
        f"{found.failed:,} of {found.items:,} items failed, more than {percent} %"
        " (max_failure_percent)"
    )


def record_findings(
    conn: Connection,
    run: Run,
    config: RunConfig,
    batch_id: int,
    *,
    at_once: int,
    task_s: Range = TASK_S,
) -> CanaryFindings:
    """Return a canary's findings so far, after adding them to the plan of its run and to the log.

    :param at_once: the most tasks that Airflow runs at once
    :param task_s: the seconds that Airflow takes to start a task
    """
    found, measured = measure(conn, run, batch_id)
    for name, words in found.words():
        log.info("%s: %s", name, words)
    stored = runs.get_run(conn, run.run_id).plan
    if stored is None:
        return found
    plan = RunPlan.from_json(stored)
    # If the task was cleared, the plan was made after the canary and does not count it.
    called = measured.called if plan.counts.canary else Work(0, 0, 0)
    made = forecast_run(
        run,
        config.source_kind,
        plan.counts,
        limits.get_limits(conn, run.run_id),
        at_once=at_once,
        called=called,
        measured=measured,
        spent=found.cost or 0.0,
        task_s=task_s,
    )
    for name, words in made.words():
        log.info("%s: %s", name, words)
    completed = replace(plan, canary=found.as_json(), forecast=made.as_json())
    plans.store_plan(conn, run.run_id, completed)
    return found


def measure(conn: Connection, run: Run, batch_id: int) -> tuple[CanaryFindings, Measured]:
    """Return a canary's findings, and the measurements by which to forecast other calls."""
    found = state.get_found(conn, batch_id)
    calls = state.list_calls(conn, batch_id)
    samples = [
        Sample(
            call.items,
            _bytes_of(call, found),
            Usage(call.took_ms, call.billed_ms, call.memory_mb, call.init_ms),
            call.held_ms,
        )
        for call in calls
        if call.took_ms is not None and call.held_ms is not None
    ]
    first_calls = sum(call.first for call in calls)
    measured = Measured(samples, len(calls), Work(found.items, first_calls, bytes_of(found.sizes)))
    return _findings(run, found, measured), measured


def _bytes_of(call: state.CanaryCall, found: state.Found) -> int | None:
    """Return the size of a call's items; None: the size of one of them is unknown."""
    return bytes_of(
        [
            size
            for begin, end in call.spans
            for size in found.sizes[begin - found.first_seq : end - found.first_seq]
        ]
    )


def _findings(run: Run, found: state.Found, measured: Measured) -> CanaryFindings:
    usages = [sample.usage for sample in measured.samples]
    billed = [usage.billed_ms for usage in usages if usage.billed_ms is not None]
    memory = [usage.memory_mb for usage in usages if usage.memory_mb is not None]
    return CanaryFindings(
        items=found.items,
        succeeded=found.succeeded,
        quarantined=found.quarantined,
        failed=found.blamed,
        calls=found.calls,
        troubles=found.troubles,
        hints=found.hints,
        median_ms=round(measured.percentile_ms(50)) if usages else None,
        p95_ms=round(measured.percentile_ms(95)) if usages else None,
        billed_ms=_mean(billed),
        memory_mb=max(memory, default=None),
        starts=len(measured.starts),
        start_ms=_mean(measured.starts),
        cost=found.cost if run.price.is_known else None,
    )


def _mean(values: list[int]) -> int | None:
    return round(sum(values) / len(values)) if values else None
