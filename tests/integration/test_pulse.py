"""Tasks add to their run's pulse exactly what the state counts."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from retrofill.engine import pulse
from retrofill.model.errors import Interrupted
from retrofill.model.pulse import Slice
from retrofill.state.connection import Connection, connect, transaction
from retrofill.state.lease import BatchLease
from retrofill.state.pulse import list_slices
from retrofill.state.runs import get_report

from stack.endpoint import Reply, Rule, ScriptedEndpoint, Span, scripted_endpoint
from tests.integration.test_invoke import PLAIN, invoke, invoker, keys, planned, rules


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(PLAIN) as running:
        yield running


@pytest.fixture
def endpoint(server: ScriptedEndpoint) -> ScriptedEndpoint:
    server.script(PLAIN)
    server.reset()
    return server


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def slices_of(conn: Connection, run_id: int) -> list[Slice]:
    with transaction(conn) as cur:
        return list_slices(cur, run_id)


def summed(slices: list[Slice]) -> dict[str, int]:
    counts = {"calls": sum(one.calls for one in slices)}
    counts["succeeded"] = sum(one.succeeded for one in slices)
    counts["quarantined"] = sum(one.quarantined for one in slices)
    for one in slices:
        for name, calls in one.troubles.items():
            counts[name] = counts.get(name, 0) + calls
    return counts


def counted(conn: Connection) -> dict[str, int]:
    """Return the same sums from the public view."""
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT calls, succeeded, quarantined, throttled, unhandled FROM retrofill.v_run"
        )
        (row,) = cur.fetchall()
    names = ("calls", "succeeded", "quarantined", "throttled", "unhandled")
    return {name: count for name, count in zip(names, row, strict=True) if count}


def test_the_sums_of_all_tasks_are_the_counts_of_the_run(
    state_dsn: str, conn: Connection, endpoint: ScriptedEndpoint
) -> None:
    rules(
        endpoint,
        Rule(keys=frozenset({"k00007"}), reply=Reply(function_error="ValueError", message="no")),
        Rule(calls=Span(first=5, last=6), reply=Reply(error="TooManyRequestsException")),
    )
    ref = planned(conn, keys(40), batch=20, max_concurrency=5)
    for batch_id in (1, 2):
        invoke(state_dsn, endpoint, batch_id=batch_id)
    slices = slices_of(conn, ref.run_id)
    assert summed(slices) == counted(conn)
    assert {"throttled", "unhandled"} < summed(slices).keys()
    throttled = summed(slices)["throttled"]
    assert sum(sum(one.latency) for one in slices) == summed(slices)["calls"] - throttled
    assert {one.most_in_flight for one in slices} == {5}
    assert sum(one.call_seconds for one in slices) > 0
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT sum(v_pulse.calls), bool_and(median_ms <= p95_ms), bool_and(in_flight > 0),"
            " bool_and(at >= date_trunc('second', opened_at)) FROM retrofill.v_pulse"
            " JOIN retrofill.v_run USING (run_id)"
        )
        assert cur.fetchall() == [(summed(slices)["calls"], True, True, True)]


def test_a_task_that_dies_loses_only_unreported_counts(
    state_dsn: str,
    conn: Connection,
    endpoint: ScriptedEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulse, "_WIDTHS", ((600, 1),))
    ref = planned(conn, keys(100_000 // 50), max_concurrency=1)
    with invoker(state_dsn, endpoint) as task:
        while len(slices_of(conn, ref.run_id)) < 2:
            task._turn()  # noqa: SLF001  it dies here: it neither settles nor releases
    slices = slices_of(conn, ref.run_id)
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT count(*) FILTER (WHERE ended_at < until), count(*)"
            " FROM retrofill.v_call, (SELECT max(at + make_interval(secs => seconds))"
            " - interval '0.1 s' AS until FROM retrofill.v_pulse) AS pulse"
            " WHERE outcome IS NOT NULL"
        )
        ((before, ended),) = cur.fetchall()
    assert 0 < before <= summed(slices)["calls"] <= ended


def test_a_failed_pulse_does_not_end_a_task(
    state_dsn: str, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    ref = planned(conn, keys(3))
    one = Slice(0, 5, 3, 3, 0, {}, 0.5, 10, [0, 3])
    with closing(BatchLease(state_dsn, 1, "h")) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        assert lease.allot(3, 0, pulse=[one, one]).concurrency, "two of one second are refused"
        assert slices_of(conn, ref.run_id) == []
        lease.allot(3, 0, pulse=[one])
        assert slices_of(conn, ref.run_id) == [one], "and what comes after is added"
    assert "what charts show: Postgres refused it, and the task goes on" in caplog.text


def test_a_repeated_report_is_added_once(state_dsn: str, conn: Connection) -> None:
    """As when the response of Postgres was lost and the task reports the slice again."""
    ref = planned(conn, keys(3))
    one = Slice(0, 5, 3, 3, 0, {"throttled": 1}, 0.5, 10, [0, 2])
    with closing(BatchLease(state_dsn, 1, "h")) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        lease.allot(3, 0, pulse=[one])
        lease._pulse_no -= 1  # noqa: SLF001
        lease.allot(3, 0, pulse=[one])
        assert slices_of(conn, ref.run_id) == [one]
        more = one._replace(troubles={"throttled": 2, "lost": 1}, latency=[1], most_in_flight=7)
        lease.allot(3, 0, pulse=[more, one._replace(second=5)])
        lease.release(done=False, pulse=[one])
    first, second = slices_of(conn, ref.run_id)
    assert (first.calls, first.troubles) == (9, {"throttled": 4, "lost": 1})
    assert (first.latency, first.most_in_flight) == ([1, 4], 10)
    assert (second.second, second.calls) == (5, 3)
    with closing(BatchLease(state_dsn, 1, "h")) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        lease.release(done=False, pulse=[one])
    assert slices_of(conn, ref.run_id)[0].calls == 12


def test_a_task_that_lost_its_batch_adds_nothing(state_dsn: str, conn: Connection) -> None:
    ref = planned(conn, ["a"])
    with (
        closing(BatchLease(state_dsn, 1, "a")) as lost,
        closing(BatchLease(state_dsn, 1, "b")) as lease,
    ):
        assert lost.take(holder_is_dead=lambda _: True)
        assert lease.take(holder_is_dead=lambda _: True)
        lost.release(done=False, pulse=[Slice(0, 5, 1, 1, 0, {}, 0.5, 10, [1])])
    assert slices_of(conn, ref.run_id) == []


def test_a_terminated_task_reports_everything(
    state_dsn: str, conn: Connection, endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = planned(conn, keys(400), max_concurrency=4)
    turns: list[Any] = []
    with invoker(state_dsn, endpoint) as task:
        monkeypatch.setattr(task, "_stop_asked", lambda: len(turns) > 20)
        monkeypatch.setattr(task, "_progressed", lambda: turns.append(1))
        with pytest.raises(Interrupted):
            task.run()
    report = get_report(conn, ref.run_id)
    assert 0 < summed(slices_of(conn, ref.run_id))["calls"] == report.calls < 400
