"""What a canary finds, and what a failed canary does to its run, with real calls."""

from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.aws.objects import measure as measure_object
from retrofill.config import RunConfig
from retrofill.engine.durations import Work
from retrofill.model.cost import Price
from retrofill.model.errors import RunIncomplete
from retrofill.pipeline import canary
from retrofill.state import batches, runs
from retrofill.state import canary as state
from retrofill.state.connection import connect

from stack.endpoint import Function, Reply, Rule, Script, ScriptedEndpoint, scripted_endpoint
from tests.integration.opened import enqueue, item, open_run
from tests.integration.test_invoke import assert_requests_are_calls, invoke, keys

PRICE = Price(per_call=2e-7, per_gb_second=0.0000166667, memory_mb=128)
SIZE = 10
"""Bytes of each object."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(Script(functions=(Function(name="f"),))) as running:
        yield running


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def script(endpoint: ScriptedEndpoint, *rules: Rule, **more: Any) -> None:
    endpoint.script(
        Script(
            functions=(Function(name="f", used_mb=77),), rules=rules, **{"latency": 0.02, **more}
        )
    )
    endpoint.reset()


def canaried(conn: connection, items: int, take: int, **opening: Any) -> int:
    """Open a run, choose its canary and plan the rest; return the canary's batch."""
    ref = open_run(conn, price=PRICE, **opening)
    enqueue(conn, ref, [item(key) for key in keys(items)])
    chosen = state.choose_canary(
        conn,
        ref,
        1,
        take=take,
        measure=measure_object,
        rng=Random(1),  # noqa: S311
    )
    assert chosen is not None
    batches.plan(conn, ref, 1, most_items=1_000, fewest_items=1_000)
    return chosen.batch_id


def judge(conn: connection, batch_id: int) -> Any:
    run = runs.get_run(conn, 1)
    config = RunConfig.from_stored(run.config)
    found = canary.record_findings(conn, run, config, batch_id, at_once=4)
    canary.require_success(conn, run, batch_id, found)
    return found


def test_a_canary_measures_its_calls(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    script(endpoint)
    batch_id = canaried(conn, 300, 60)
    invoke(state_dsn, endpoint, batch_id=batch_id, items_per_call=3, reports_usage=True)
    assert endpoint.stats().deliveries == 60, "only canary items are called"
    found, measured = canary.measure(conn, runs.get_run(conn, 1), batch_id)
    assert (found.items, found.calls, found.succeeded, found.failed) == (60, 20, 60, 0)
    assert (found.memory_mb, found.billed_ms, found.starts) == (77, 20, 0)
    assert found.median_ms is not None
    assert found.p95_ms is not None
    assert 20 <= found.median_ms <= found.p95_ms
    stats = endpoint.stats()
    assert found.cost == pytest.approx(
        stats.invocations * 2e-7 + stats.billed_ms / 1_000 * 0.0000166667 / 8
    )
    assert (measured.calls, measured.repeats) == (20, 1.0)
    assert measured.called == Work(60, 20, 60 * SIZE)
    assert {(sample.items, sample.bytes) for sample in measured.samples} == {(3, 3 * SIZE)}
    assert all(sample.held_ms >= sample.usage.took_ms - 1 for sample in measured.samples)
    assert judge(conn, batch_id) == found
    assert_requests_are_calls(conn, endpoint)


def test_a_canary_that_fails_stops_its_run(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    poison = frozenset(keys(300)[::3])
    script(endpoint, Rule(keys=poison, reply=Reply(function_error="ValueError")))
    batch_id = canaried(conn, 300, 60, max_failure_percent=20, min_items_judged=1_000)
    invoke(state_dsn, endpoint, batch_id=batch_id, reports_usage=True, max_attempts=2)
    with pytest.raises(RunIncomplete) as refused:
        judge(conn, batch_id)
    report = runs.get_report(conn, 1)
    assert report.stop_reason is not None
    assert str(refused.value) == f"{report.stop_reason}. Nothing else was called"
    failed = report.quarantined
    assert 12 < failed < 30
    assert report.stop_reason == (
        f"canary: {failed} of 60 items failed, more than 20 % (max_failure_percent);"
        f" calls that did not succeed: {2 * failed} unhandled"
    )
    assert report.items_left == 240
    with pytest.raises(RunIncomplete, match="canary: "):
        invoke(state_dsn, endpoint, batch_id=batch_id + 1)
    assert endpoint.stats().deliveries == 60 + failed, "nothing else is called"
    with pytest.raises(RunIncomplete):
        judge(conn, batch_id)


@pytest.mark.parametrize(("percent", "stops"), [(100, False), (33, True), (34, False)])
def test_a_canary_may_fail_up_to_the_runs_limit(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, percent: int, *, stops: bool
) -> None:
    poison = frozenset(keys(3)[:1])
    script(endpoint, Rule(keys=poison, reply=Reply(function_error="ValueError")))
    batch_id = canaried(conn, 3, 3, max_failure_percent=percent, min_items_judged=1_000)
    invoke(state_dsn, endpoint, batch_id=batch_id, max_attempts=1)
    if stops:
        with pytest.raises(RunIncomplete, match="1 of 3 items failed, more than 33 %"):
            judge(conn, batch_id)
    else:
        assert judge(conn, batch_id).failed_percent == pytest.approx(33.3, abs=0.1)


@pytest.mark.parametrize(("percent", "stops"), [(5, False), (4.9, True)])
def test_a_canary_may_fail_by_one_cause_up_to_the_runs_limit(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, percent: float, *, stops: bool
) -> None:
    slow = Reply(function_error="Sandbox.Timedout")
    script(endpoint, Rule(keys=frozenset(keys(40)[:2]), reply=slow))
    limits = {"max_percent_by_cause": {"timed_out": percent}, "min_items_judged": 1_000}
    batch_id = canaried(conn, 40, 40, max_failure_percent=100, **limits)
    invoke(state_dsn, endpoint, batch_id=batch_id, max_attempts=1, reports_usage=True)
    if stops:
        with pytest.raises(RunIncomplete, match="canary: max_percent_by_cause: timed_out: 2 of 40"):
            judge(conn, batch_id)
        assert runs.get_report(conn, 1).stop_reason is not None
    else:
        assert judge(conn, batch_id).failed == 2


def test_failures_are_shown_by_cause_and_counted_by_call(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    slow = Reply(function_error="Sandbox.Timedout")
    script(endpoint, Rule(keys=frozenset(keys(40)[:2]), reply=slow))
    batch_id = canaried(conn, 40, 40, max_failure_percent=100)
    invoke(state_dsn, endpoint, batch_id=batch_id, max_attempts=3, reports_usage=True)
    found, measured = canary.measure(conn, runs.get_run(conn, 1), batch_id)
    assert found.troubles == {"timed_out": 6}
    assert (found.calls, measured.called.calls, measured.repeats) == (44, 40, 1.1)


def test_a_killed_canary_is_continued(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    script(endpoint)
    batch_id = canaried(conn, 60, 40)
    from tests.integration.test_batches import taken  # noqa: PLC0415

    with closing(taken(state_dsn, batch_id=batch_id)) as lease:
        lease.release(done=False)
    invoke(state_dsn, endpoint, batch_id=batch_id, reports_usage=True)
    found = judge(conn, batch_id)
    assert (found.items, found.succeeded) == (40, 40)
    assert max(endpoint.items().values()) == 1


def test_the_limits_of_the_run_apply_to_its_canary(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    script(endpoint)
    batch_id = canaried(conn, 100, 50, max_calls=20, max_concurrency=3)
    with pytest.raises(RunIncomplete, match="max_calls: 20 of 20 calls were made"):
        invoke(state_dsn, endpoint, batch_id=batch_id)
    stats = endpoint.stats()
    assert stats.invocations == 20
    assert stats.max_in_flight <= 3
