"""Flow control over a whole run: four invoke tasks, each its own process, at one endpoint."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess

import pytest
from psycopg2.extensions import connection
from retrofill.model.errors import RunIncomplete
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.limits import change_limits

from stack.endpoint import Function, Reply, Rule, Script, ScriptedEndpoint, scripted_endpoint
from tests.integration.opened import enqueue, item, keys_in, open_run
from tests.integration.test_invoke import assert_requests_are_calls, invoke, keys, outcomes

TASKS = 4
DEADLINE_S = 60.0

Figures = Callable[[str, object], None]
Work = Callable[[str, ScriptedEndpoint, int], None]


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def script(latency: float, *rules: Rule) -> Script:
    return Script(functions=(Function(name="f"),), latency=latency, rules=rules)


def planned(conn: connection, count: int, **opening: int) -> int:
    """Plan `count` items for TASKS tasks; return the run's number."""
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [item(key) for key in keys(count)])
    most = -(-count // TASKS)
    assert len(batches.plan(conn, ref, 1, most_items=most, fewest_items=most)) == TASKS
    return ref.run_id


def _work(dsn: str, endpoint: ScriptedEndpoint, batch_id: int) -> None:
    try:
        invoke(dsn, endpoint, batch_id=batch_id)
    except RunIncomplete:
        raise SystemExit(3) from None


@contextmanager
def active(
    dsn: str, endpoint: ScriptedEndpoint, work: Work = _work
) -> Iterator[Sequence[BaseProcess]]:
    """Run one process for each batch, and wait for all."""
    context = multiprocessing.get_context("spawn")
    tasks = [
        context.Process(target=work, args=(dsn, endpoint, number + 1)) for number in range(TASKS)
    ]
    for task in tasks:
        task.start()
    try:
        yield tasks
        for task in tasks:
            task.join(DEADLINE_S)
    finally:
        for task in tasks:
            task.kill()


def wait_until(condition: Callable[[], bool]) -> float:
    """Wait for a condition; return the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + DEADLINE_S
        time.sleep(0.05)
    return time.monotonic() - began


def test_the_cap_holds_over_all_tasks_while_it_changes(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    run_id = planned(conn, 6_000, max_concurrency=50)
    with scripted_endpoint(script(0.1)) as endpoint, active(state_dsn, endpoint) as tasks:
        wait_until(lambda: endpoint.stats().in_flight > 45)
        change_limits(conn, run_id, max_concurrency=20)
        lowered_s = wait_until(lambda: endpoint.stats().in_flight <= 20)
        wait_until(lambda: _settled_to(conn, 20))
        endpoint.reset()
        executed = endpoint.stats().executions
        wait_until(lambda: endpoint.stats().executions > executed + 600)
        at_20 = endpoint.stats().max_in_flight
        change_limits(conn, run_id, max_concurrency=50)
        raised_s = wait_until(lambda: endpoint.stats().in_flight > 40)
        wait_until(lambda: not any(task.is_alive() for task in tasks))
        ever = endpoint.stats().max_in_flight_ever
        assert [task.exitcode for task in tasks] == [0] * TASKS
        record_property("most in flight, of 50", ever)
        record_property("most in flight after the change to 20", at_20)
        record_property(
            "seconds until 20, and until more than 40 again", f"{lowered_s:.1f}, {raised_s:.1f}"
        )
        assert ever <= 50
        assert at_20 <= 20
    report = runs.get_report(conn, run_id)
    assert (report.succeeded, report.calls, report.items_left) == (6_000, 6_000, 0)


def _settled_to(conn: connection, cap: int) -> bool:
    """Return whether every task's limit is its share of a changed cap."""
    with conn, conn.cursor() as cur:
        cur.execute("SELECT sum(allotted) FROM retrofill.batch WHERE done_at IS NULL")
        (held,) = cur.fetchall()[0]
    return bool(held <= cap)


def test_a_throttling_endpoint_is_used_up_to_its_limit(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    limit, latency, count = 30, 0.2, 2_400
    planned(conn, count, max_concurrency=200)
    throttles = Rule(above_in_flight=limit, reply=Reply(error="TooManyRequestsException"))
    with scripted_endpoint(script(latency, throttles)) as endpoint:
        began = time.monotonic()
        with active(state_dsn, endpoint) as tasks:
            wait_until(lambda: endpoint.stats().executions > count // 4)
            from_s, first = time.monotonic(), endpoint.stats().executions
            wait_until(lambda: endpoint.stats().executions > count * 3 // 4)
            to_s, last = time.monotonic(), endpoint.stats().executions
        took_s = time.monotonic() - began
        assert [task.exitcode for task in tasks] == [0] * TASKS
        assert_requests_are_calls(conn, endpoint)
        assert endpoint.items() == dict.fromkeys(keys(count), 1)
    ended = outcomes(conn)
    throttled = ended["throttled"] / sum(ended.values())
    best = limit / latency
    record_property(
        "calls per second in the middle half, of the best",
        f"{(last - first) / (to_s - from_s) / best:.0%}",
    )
    record_property(
        "calls per second, start and end included, of the best", f"{count / took_s / best:.0%}"
    )
    record_property("throttled", f"{throttled:.1%}")
    assert throttled < 0.05
    assert runs.get_report(conn, 1).throttled == ended["throttled"]


def test_max_calls_is_never_exceeded(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    planned(conn, 2_000, max_concurrency=50, max_calls=777)
    with scripted_endpoint(script(0.02)) as endpoint:
        with active(state_dsn, endpoint) as tasks:
            pass
        assert {task.exitcode for task in tasks} <= {0, 3}, "unfinished tasks were stopped"
        assert endpoint.stats().invocations == 777
    report = runs.get_report(conn, 1)
    record_property("calls, of at most 777", report.calls)
    assert (report.calls, report.succeeded, report.items_left) == (777, 777, 1_223)
    assert report.stop_reason == "max_calls: 777 of 777 calls were made"


def test_a_function_that_fails_for_most_items_stops_the_run(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    planned(conn, 4_000, max_concurrency=20, max_failure_percent=50, min_items_judged=100)
    poison = frozenset(key for key in keys(4_000) if int(key[1:]) % 10 < 6)
    fails = Rule(keys=poison, reply=Reply(function_error="ValueError", message="no"))
    with scripted_endpoint(script(0.05, fails)) as endpoint, active(state_dsn, endpoint) as tasks:
        pass
    assert {task.exitcode for task in tasks} == {3}
    report = runs.get_report(conn, 1)
    record_property("stopped", report.stop_reason)
    assert (report.stop_reason or "").startswith("max_failure_percent: ")
    assert report.unhandled == report.failed > 0
    in_process = keys_in(conn, "in_process")
    assert len(in_process) == report.items_left > 1_000, "remaining items stay in process"
