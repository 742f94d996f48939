"""What a run costs: counted once, never below the bill, and within its budget."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.aws.objects import pack
from retrofill.faults import Point, injected
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.cost import Price, Usage
from retrofill.model.errors import LeaseLost, RunIncomplete, StateUnavailable
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from stack.endpoint import Function, Reply, Rule, Script, ScriptedEndpoint, Span, scripted_endpoint
from tests.integration.opened import FUNCTION, MOMENT, change_limits, enqueue, item, open_run
from tests.integration.test_batches import calls_of, open_batch, plan, success, taken
from tests.integration.test_flow import TASKS, Figures, active, wait_until
from tests.integration.test_invoke import invoke, invoker, keys, planned

PRICE = Price(per_call=1.0, per_gb_second=8.0, memory_mb=128, per_item=10.0)
MOST = 1.0 + 1.0 * FUNCTION.timeout_s
"""The maximum cost of a call without items."""

REAL = Price(per_call=2e-7, per_gb_second=0.0000166667, memory_mb=128)


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def charged(call: Call, cost: float, *, from_above: bool = False) -> Settlement:
    """Return the end of a call that succeeded at this cost."""
    ended = EndedCall(
        call.number,
        "succeeded",
        items=len(call.entries),
        usage=Usage(9, 7, 64),
        cost=cost,
        from_above=from_above,
    )
    return Settlement(ended=[ended], succeeded=[(span, call.number) for span in call.spans])


def sent(lease: BatchLease, size: int = 1) -> list[Call]:
    calls = calls_of(lease, size)
    lease.settle(Settlement(), calls)
    return calls


def costs(conn: connection, run_id: int = 1) -> tuple[float | None, float | None]:
    """Return a run's cost, and the part that was counted from above."""
    report = runs.get_report(conn, run_id)
    return report.cost, report.cost_from_above


def by_outcome(conn: connection) -> dict[str, float | None]:
    """Return the cost of calls by outcome."""
    with conn, conn.cursor() as cur:
        cur.execute("SELECT outcome::text, cost FROM retrofill.v_outcome")
        return dict(cur.fetchall())


def test_cost_is_counted_with_the_call_that_caused_it(state_dsn: str, conn: connection) -> None:
    open_batch(conn, 4, price=PRICE)
    assert costs(conn) == (0.0, 0.0)
    with closing(taken(state_dsn)) as lease:
        first, second = sent(lease, 2)
        lease.settle(charged(first, 21.5), [])
        broken = []

        def break_once(point: Point) -> None:
            if point is Point.SETTLE_COMMITTED and not broken:
                broken.append(point)
                raise StateUnavailable("the answer is lost")

        with injected(break_once):
            lease.settle(charged(second, 22.0, from_above=True), [])
        assert broken
    report = runs.get_report(conn, 1)
    assert (report.cost, report.cost_from_above) == (43.5, 22.0)
    assert report.cost_by_term == {"calls": 2.0, "time": 1.5, "items": 40.0}
    assert report.cost_text == (
        "$43.50 ($2.00 for calls, $1.50 for their time, $40.00 for items), of which $22.00"
        " counted from above"
    )
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT took_ms, billed_ms, memory_mb FROM retrofill.v_call")
        assert cur.fetchall() == [(9, 7, 64)]


def test_an_unknown_cost_is_not_zero(state_dsn: str, conn: connection) -> None:
    open_batch(conn)
    with closing(taken(state_dsn)) as lease:
        lease.settle(success(*sent(lease)), [])
    report = runs.get_report(conn, 1)
    assert (report.cost, report.cost_from_above) == (None, None)
    assert set(report.cost_by_term.values()) == {None}
    assert by_outcome(conn) == {"succeeded": None}
    assert "cost        unknown" in report.as_text({})
    open_run(conn, "second", price=Price(per_item=2.0))
    assert runs.get_report(conn, 2).cost_text == (
        "$0.00 (unknown for calls, unknown for their time, $0.00 for items)"
    )


def test_a_lost_call_counts_from_above_until_its_cost_is_known(
    state_dsn: str, conn: connection
) -> None:
    open_batch(conn, 4, price=PRICE)
    with closing(taken(state_dsn)) as silent, closing(taken(state_dsn, "other")) as other:
        del other
        assert costs(conn) == (0.0, 0.0), "nothing was sent"
    with closing(taken(state_dsn)) as silent:
        first, second = sent(silent, 2)
        with closing(taken(state_dsn, "other")):
            assert costs(conn) == (2 * (MOST + 20.0),) * 2
            for _ in range(2):
                with pytest.raises(LeaseLost):
                    silent.settle(charged(first, 21.5), [])
                assert costs(conn) == (MOST + 20.0 + 21.5, MOST + 20.0), (
                    "a late response counts once"
                )
                assert by_outcome(conn) == {"succeeded": 21.5, "lost": MOST + 20.0}
            refused = Settlement(ended=[EndedCall(second.number, "throttled", items=2)])
            with pytest.raises(LeaseLost):
                silent.settle(refused, [])
    assert costs(conn) == (21.5, 0.0)
    assert by_outcome(conn) == {"succeeded": 21.5, "throttled": 0.0}


@pytest.mark.parametrize("way", ["released", "closed", "abandoned"])
def test_the_task_that_finds_lost_calls_counts_their_cost(
    state_dsn: str, conn: connection, way: str
) -> None:
    ref = open_batch(conn, 4, price=PRICE, config={"on_unknown": "hold"})
    with closing(taken(state_dsn)) as lease:
        lease.settle(Settlement(), calls_of(lease, 2)[:1])
        match way:
            case "released":
                lease.release(done=False)
            case "closed":
                batches.release_set(conn, ref)
            case "abandoned":
                with conn, conn.cursor() as cur:
                    cur.execute("UPDATE retrofill.batch SET leased_until = now() - interval '1 s'")
                assert batches.rescue_run(conn, ref.run_id, 1) == "incomplete"
    assert costs(conn) == (MOST + 20.0,) * 2
    assert runs.get_report(conn, 1).quarantined == 2


def test_money_is_reserved_before_it_is_spent(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn, price=PRICE, max_cost=100.0)
    enqueue(conn, ref, [item(key) for key in keys(8)])
    assert plan(conn, ref, most=4, fewest=4) == [4, 4]
    with closing(taken(state_dsn)) as first:
        assert first.allot(10, 0).cost == 100.0
        second = taken(state_dsn, "b", 2)
        waits = second.allot(10, 0)
        assert (waits.cost, waits.stop_reason) == (0.0, None), "the first may give some back"
        calls = sent(first)
        first.settle(charged(calls[0], 40.0), [])
        assert first.allot(10, 3).cost == 30.0, "half of what is left"
        assert second.allot(10, 0).cost == 15.0
        first.settle(charged(calls[1], 25.0), [])
        assert second.allot(10, 0).cost == 16.25, "as much as a call costs"
        with closing(taken(state_dsn, "next")) as following:
            waits = following.allot(9, 0)
            assert (waits.cost, waits.stop_reason) == (0.0, None), "two calls are lost"
        second.close()
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET leased_until = now() - interval '1 s'")
    with closing(taken(state_dsn, "last", 2)) as last:
        assert last.allot(9, 0).cost == 35.0 - 2 * (MOST + 10.0), "a dead task loses no money"
        (call, *_) = sent(last)
        last.settle(charged(call, 50.0), [])
        stopped = last.allot(9, 0)
    assert stopped.stop_reason == "max_cost: $143.00 of $100.00 were spent"


@pytest.mark.parametrize("logs_json", [False, True])
def test_usage_is_recorded_and_equals_the_servers_count(
    state_dsn: str, conn: connection, *, logs_json: bool
) -> None:
    planned(conn, keys(40), price=REAL)
    function = Function(name="f", used_mb=99, logs_json=logs_json, prints="REPORT RequestId: x\n")
    rules = (
        Rule(calls=Span(first=2, last=3), reply=Reply(error="TooManyRequestsException")),
        Rule(calls=Span(first=4, last=5), reply=Reply(function_error="E", delay=0.02)),
    )
    script = Script(functions=(function,), latency=0.005, rules=rules)
    with scripted_endpoint(script) as endpoint:
        invoke(state_dsn, endpoint, reports_usage=True)
        stats = endpoint.stats()
    assert (stats.executions, stats.invocations) == (42, 44)
    report = runs.get_report(conn, 1)
    assert report.cost == pytest.approx(server_cost(stats.billed_ms, stats.executions))
    assert report.cost_from_above == 0.0
    assert by_outcome(conn) == pytest.approx(
        {
            "succeeded": server_cost(40 * 5, 40),
            "failed": server_cost(2 * 25, 2),
            "throttled": 0.0,
        },
        abs=1e-11,
    )
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT outcome::text, billed_ms, memory_mb, count(*), bool_and(took_ms >= billed_ms)"
            " FROM retrofill.v_call GROUP BY 1, 2, 3 ORDER BY 1, 2"
        )
        assert cur.fetchall() == [
            ("failed", 25, 99, 2, True),
            ("succeeded", 5, 99, 40, True),
            ("throttled", None, None, 2, None),
        ]


def test_without_the_log_the_duration_counts_from_above(state_dsn: str, conn: connection) -> None:
    planned(conn, keys(40), price=REAL)
    script = Script(functions=(Function(name="f"),), latency=0.0042)
    with scripted_endpoint(script) as endpoint:
        invoke(state_dsn, endpoint)
        stats = endpoint.stats()
    cost, from_above = costs(conn)
    assert cost == from_above
    assert cost is not None
    assert cost >= server_cost(stats.billed_ms, stats.executions)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(took_ms) FROM retrofill.v_call")
        assert cur.fetchall() == [(0,)], "a run without the param keeps no usage"


def server_cost(billed_ms: int, executions: int) -> float:
    """Return the cost of executions by the server's own count."""
    return executions * 2e-7 + billed_ms / 1_000 * 0.0000166667 / 8


# A budget that is used up during a run.

COUNT = 8_000
SIZES = tuple(range(0, 1_000_000, 50_000))
SECONDS_PER_MB = 0.3
LATENCY = 0.05
LONGEST = server_cost(round(1_000 * (LATENCY + SECONDS_PER_MB)), 1)
"""The cost of the largest object."""

BUDGET = 0.6 * COUNT * server_cost(round(1_000 * (LATENCY + SECONDS_PER_MB * 0.475)), 1)
"""The cost of about six tenths of the calls."""


def costly(conn: connection) -> None:
    """Plan calls whose durations follow the size of their objects."""
    ref = open_run(conn, price=REAL, max_cost=BUDGET, max_concurrency=200)
    sized = [
        item(key)._replace(content=pack(SIZES[number % len(SIZES)], MOMENT, "e", ""))
        for number, key in enumerate(keys(COUNT))
    ]
    enqueue(conn, ref, sized)
    most = COUNT // TASKS
    assert len(batches.plan(conn, ref, 1, most_items=most, fewest_items=most)) == TASKS


def calls_of_first(conn: connection) -> int:
    """Return how many calls the first task has made."""
    with conn, conn.cursor() as cur:
        cur.execute("SELECT calls FROM retrofill.batch WHERE batch_id = 1")
        ((calls,),) = cur.fetchall()
    return int(calls)


def served() -> Script:
    function = Function(name="f")
    return Script(functions=(function,), latency=LATENCY, seconds_per_mb=SECONDS_PER_MB)


def _work(dsn: str, endpoint: ScriptedEndpoint, batch_id: int) -> None:
    try:
        with invoker(dsn, endpoint, batch_id=batch_id, reports_usage=True) as task:
            task.run()
    except RunIncomplete:
        raise SystemExit(3) from None


def test_the_minimum_cost_is_reserved_before_the_first_call_ends(
    state_dsn: str, conn: connection
) -> None:
    """Otherwise a hundred calls could be sent at once on a budget of three."""
    planned(conn, keys(200), batch=100, price=Price(per_item=1.0), max_cost=3.0)
    change_limits(conn, 1, max_concurrency=100)
    with scripted_endpoint(Script(functions=(Function(name="f"),), latency=0.3)) as endpoint:
        with ThreadPoolExecutor(2) as tasks:
            for task in [tasks.submit(invoke, state_dsn, endpoint, batch_id=no) for no in (1, 2)]:
                with pytest.raises(RunIncomplete, match="max_cost"):
                    task.result()
        assert endpoint.stats().invocations <= 4, "each task makes one call while money is left"
    assert costs(conn)[0] in {3.0, 4.0}


def test_a_budget_is_exceeded_at_most_by_the_calls_in_flight(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    costly(conn)
    with scripted_endpoint(served()) as endpoint:
        with active(state_dsn, endpoint, _work) as tasks:
            pass
        stats = endpoint.stats()
    assert {task.exitcode for task in tasks} <= {0, 3}, "unfinished tasks were stopped"
    report = runs.get_report(conn, 1)
    assert report.cost is not None
    overrun = report.cost - BUDGET
    record_property("budget", f"${BUDGET:.7f}")
    record_property("spent, by our count and the server's", f"${report.cost:.7f}")
    record_property("overrun", f"${overrun:.9f}, {overrun * report.calls / report.cost:.1f} calls")
    record_property("calls, most in flight", f"{report.calls:,}, {stats.max_in_flight}")
    assert report.cost == pytest.approx(server_cost(stats.billed_ms, stats.executions))
    assert report.cost_from_above == 0.0
    assert (stats.executions, report.succeeded) == (report.calls, report.calls)
    assert report.items_left == COUNT - report.calls > 0
    assert 0.0 <= overrun <= 200 * LONGEST
    assert (report.stop_reason or "").startswith("max_cost: $")


def test_a_task_that_is_killed_leaves_nothing_uncounted(
    state_dsn: str, conn: connection, record_property: Figures
) -> None:
    costly(conn)
    with scripted_endpoint(served()) as endpoint:
        with active(state_dsn, endpoint, _work) as tasks:
            wait_until(lambda: calls_of_first(conn) > COUNT // 20)
            assert tasks[0].pid is not None
            os.kill(tasks[0].pid, signal.SIGKILL)
            tasks[0].join()
            counted, _ = costs(conn)
            with pytest.raises(SystemExit):
                _work(state_dsn, endpoint, 1)
        stats = endpoint.stats()
    report = runs.get_report(conn, 1)
    assert report.cost is not None
    assert report.lost > 0, "it was killed in the middle"
    billed = server_cost(stats.billed_ms, stats.executions)
    most = report.lost * server_cost(1_000 * FUNCTION.timeout_s, 1)
    record_property("lost calls, counted from above", f"{report.lost}, ${most:.7f}")
    record_property("spent, by our count", f"${report.cost:.7f} of ${BUDGET:.7f}")
    record_property("spent, by the server's", f"${billed:.7f}")
    record_property("counted when it was killed", f"${counted:.7f}")
    assert report.cost_from_above == pytest.approx(most)
    assert billed <= report.cost <= billed + most
    assert BUDGET <= report.cost <= BUDGET + 200 * LONGEST + most
    assert stats.executions <= report.calls <= stats.executions + report.lost
