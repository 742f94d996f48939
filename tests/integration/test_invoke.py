"""Whole invoke tasks: real Postgres, real HTTP, and an endpoint that fails as scripted."""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import boto3
import psycopg2
import pytest
from botocore.credentials import Credentials
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.engine.progress import Invoked
from retrofill.events import compile_shape
from retrofill.faults import Point, injected
from retrofill.functions.aws_lambda import KIND
from retrofill.functions.aws_lambda.client import invoke_client
from retrofill.functions.aws_lambda.params import LambdaParams
from retrofill.functions.client import Client, Payload
from retrofill.functions.kind import Asked
from retrofill.model.delivery import Contract, Delivery
from retrofill.model.errors import FunctionUnusable, Interrupted, LeaseLost, RunIncomplete
from retrofill.model.runs import SetRef
from retrofill.pipeline.invoke import GRACE_S, LOGGED_TROUBLES, Invoker, take
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.limits import stop

from stack.endpoint import (
    Function,
    Reply,
    Rule,
    Script,
    ScriptedEndpoint,
    Span,
    Wire,
    scripted_endpoint,
)
from tests.given import Given, s3_context
from tests.integration.opened import FUNCTION, change_limits, enqueue, item, keys_in, open_run
from tests.integration.raw_server import RawServer, http_answer

PLAIN = Script(functions=(Function(name="f"),), latency=0.01)


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
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def rules(endpoint: ScriptedEndpoint, *rules: Rule, latency: float = 0.01) -> None:
    endpoint.script(replace(PLAIN, rules=rules, latency=latency))


def keys(count: int) -> list[str]:
    return [f"k{number:05}" for number in range(count)]


def planned(
    conn: connection, wanted: Sequence[str], *, batch: int = 10**6, **opening: Any
) -> SetRef:
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [item(key) for key in wanted])
    batches.plan(conn, ref, 1, most_items=batch, fewest_items=batch)
    return ref


@contextmanager
def once_settled(dsn: str, act: Callable[[], object]) -> Iterator[None]:
    """Act in parallel with the block, once the first item has succeeded."""

    def watch() -> None:
        with closing(connect(dsn)) as own:
            while not keys_in(own, "results"):
                time.sleep(0.01)
        act()

    with ThreadPoolExecutor(1) as executor:
        acted = executor.submit(watch)
        yield
    acted.result()


@contextmanager
def invoker(
    dsn: str,
    endpoint: ScriptedEndpoint | RawServer,
    *,
    batch_id: int = 1,
    stop: threading.Event | None = None,
    timeout_s: int = 1,
    deadline_s: float = 60.0,
    executions: str = "",
    reports_usage: bool = False,
    grace_s: float = GRACE_S,
    **params: int | str,
) -> Iterator[Invoker]:
    config = params_for("s3").config(
        {"bucket": "bucket", "prefix": "k", "function": "f", "max_attempts": 2, **params}
    )
    with closing(BatchLease(dsn, batch_id, f"task {batch_id}")) as lease:
        assert take(lease, holder_is_dead=lambda _: True)
        with closing(connect(dsn)) as conn:
            run = runs.get_run(conn, lease.run_id)
        per_call = config.calls.items_per_call or 1
        delivery = Delivery(event="s3", items_per_call=per_call, answer="return")
        context = s3_context(
            bucket="bucket",
            configuration_id="retrofill",
            function_arn=run.function.name,
            job=run.job,
            run_id=run.run_id,
        )
        opened = invoke_client(
            endpoint_url=endpoint.url,
            region="us-east-1",
            credentials=Credentials("key", "secret"),
            function_arn=run.function.name,
            qualifier=run.function.version,
            deadline_s=deadline_s,
            max_in_flight=1_000,
            executions=executions,
            reports_usage=reports_usage,
        )
        with closing(opened) as client:
            yield Invoker(
                lease=lease,
                client=client,
                shape=compile_shape("s3", context),
                run=run._replace(
                    function=replace(run.function, timeout_s=timeout_s), delivery=delivery
                ),
                config=config,
                keeps_usage=reports_usage,
                stop_asked=(stop or threading.Event()).is_set,
                grace_s=grace_s,
            )


def invoke(dsn: str, endpoint: ScriptedEndpoint, **more: Any) -> Invoked:
    with invoker(dsn, endpoint, **more) as task:
        return task.run()


def outcomes(conn: connection) -> dict[str, int]:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT outcome::text, count(*) FROM retrofill.v_call GROUP BY 1")
        return dict(cur.fetchall())


def assert_requests_are_calls(conn: connection, endpoint: ScriptedEndpoint) -> None:
    """Check that every request that the endpoint saw has its row, and vice versa."""
    assert sum(outcomes(conn).values()) == endpoint.stats().invocations


def test_every_item_is_called_once(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    ref = planned(conn, keys(500))
    summary = invoke(state_dsn, endpoint, items_per_call=7)
    assert summary == {
        "items": 500, "calls": 72, "succeeded": 500, "quarantined": 0, "retries": 0,
        "duplicates": 0,
    }  # fmt: skip
    assert endpoint.items() == dict.fromkeys(keys(500), 1)
    assert outcomes(conn) == {"succeeded": 72}
    report = runs.get_report(conn, ref.run_id)
    assert (report.succeeded, report.calls, report.items_left) == (500, 72, 0)


def test_poison_is_isolated_and_other_items_succeed(
    state_dsn: str,
    conn: connection,
    endpoint: ScriptedEndpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    poison = frozenset({"k00003", "k00500", "k00501", "k00999"})
    rules(endpoint, Rule(keys=poison, reply=Reply(function_error="ValueError", message="no")))
    planned(conn, keys(1_000))
    invoke(state_dsn, endpoint, items_per_call=100)
    assert set(keys_in(conn, "quarantine")) == poison
    assert len(keys_in(conn, "results")) == 996
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT error_type, error, failures FROM retrofill.v_quarantine")
        assert cur.fetchall() == [("ValueError", "no", 2)]
    assert outcomes(conn)["succeeded"] + outcomes(conn)["failed"] <= 10 + 4 * (14 + 1)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT request_id FROM retrofill.v_call WHERE outcome = 'failed'")
        request_ids = {row[0] for row in cur.fetchall()}
    named = {name for name in request_ids if name in caplog.text}
    assert len(named) == min(len(request_ids), LOGGED_TROUBLES)
    assert not any(key in caplog.text for key in poison)
    assert_requests_are_calls(conn, endpoint)


def test_sixteen_bad_items_of_ten_thousand_are_found_within_the_bound(
    state_dsn: str,
    conn: connection,
    endpoint: ScriptedEndpoint,
    record_property: Callable[[str, object], None],
) -> None:
    poison = frozenset(f"k{number:05}" for number in range(17, 10_000, 625))
    rules(endpoint, Rule(keys=poison, reply=Reply(function_error="ValueError")), latency=0.001)
    planned(conn, keys(10_000), max_concurrency=50)
    summary = invoke(state_dsn, endpoint, items_per_call=100, max_attempts=1)
    extra = summary["calls"] - 100
    bound = len(poison) * 2 * math.ceil(math.log2(100))
    record_property("extra calls for 16 poison items of 10,000, of at most", f"{extra}, {bound}")
    assert len(poison) == 16
    assert set(keys_in(conn, "quarantine")) == poison
    assert keys_in(conn, "results") == sorted(set(keys(10_000)) - poison)
    assert extra <= bound
    assert_requests_are_calls(conn, endpoint)


def test_items_without_a_response_are_held_and_not_called_again(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    lost = Reply(wire=Wire.RST, runs=True)
    rules(endpoint, Rule(keys=frozenset({"k00002"}), reply=lost))
    ref = planned(conn, keys(9), config={"on_unknown": "hold"})
    summary = invoke(state_dsn, endpoint, items_per_call=3, on_unknown="hold")
    assert (summary["succeeded"], summary["quarantined"], summary["duplicates"]) == (6, 3, 0)
    assert keys_in(conn, "quarantine") == ["k00000", "k00001", "k00002"]
    assert outcomes(conn) == {"succeeded": 2, "unknown": 1}
    assert max(endpoint.items().values()) == 1
    report = runs.get_report(conn, ref.run_id)
    assert (report.unknown, report.quarantined, report.items_left) == (1, 3, 0)
    assert_requests_are_calls(conn, endpoint)


def test_held_calls_block_only_their_part_of_the_cap(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    lost = frozenset(keys(8))
    rules(endpoint, Rule(keys=lost, reply=Reply(wire=Wire.RST, runs=True)), latency=0.4)
    planned(conn, keys(20), max_concurrency=10, config={"on_unknown": "hold"})
    # Eight calls may run longer than any test, which leaves two places.
    summary = invoke(state_dsn, endpoint, on_unknown="hold", timeout_s=900)
    assert (summary["succeeded"], summary["quarantined"], summary["calls"]) == (12, 8, 20)
    assert set(keys_in(conn, "quarantine")) == lost
    assert_requests_are_calls(conn, endpoint)


def test_a_zombie_records_the_success_of_held_items(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.4)
    planned(conn, keys(30), max_concurrency=10, config={"on_unknown": "hold"})
    with invoker(state_dsn, endpoint, on_unknown="hold") as zombie:
        zombie._turn()  # noqa: SLF001  it is stopped here, and continues below
        sent = sum(outcomes(conn).values())
        assert sent == 10
        with closing(BatchLease(state_dsn, 1, "another")) as lease:
            assert lease.take(holder_is_dead=lambda _: True)
            assert len(keys_in(conn, "quarantine")) == sent
            with pytest.raises(LeaseLost):
                zombie.run()
    assert keys_in(conn, "quarantine") == []
    assert len(keys_in(conn, "results")) == sent
    report = runs.get_report(conn, 1)
    assert (report.succeeded, report.quarantined, report.items_left, report.lost) == (10, 0, 20, 0)
    assert invoke(state_dsn, endpoint)["items"] == 20
    assert max(endpoint.items().values()) == 1


def test_throttled_calls_are_retried_without_an_attempt(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, Rule(above_in_flight=4, reply=Reply(error="TooManyRequestsException")))
    planned(conn, keys(300), max_concurrency=50)
    summary = invoke(state_dsn, endpoint)
    assert summary["succeeded"] == 300
    assert summary["retries"] == outcomes(conn)["throttled"] > 0
    assert summary["duplicates"] == 0
    assert max(endpoint.items().values()) == 1
    assert_requests_are_calls(conn, endpoint)


@pytest.mark.parametrize("error", ["TooManyRequestsException", "ENILimitReachedException"])
def test_refused_calls_do_not_count_towards_max_calls(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, error: str
) -> None:
    rules(endpoint, Rule(calls=Span(last=15), reply=Reply(error=error)))
    ref = planned(conn, keys(10), max_calls=10)
    assert invoke(state_dsn, endpoint)["succeeded"] == 10
    report = runs.get_report(conn, ref.run_id)
    assert (report.calls, report.refused, report.stop_reason) == (25, 15, None)
    assert_requests_are_calls(conn, endpoint)


def test_max_calls_is_reached_exactly_despite_refusals(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    """With two tasks, one of which is killed with calls in flight."""
    throttle = Reply(error="TooManyRequestsException")
    rules(endpoint, Rule(probability=0.6, reply=throttle), latency=0.05)
    ref = planned(conn, keys(200), batch=100, max_calls=30, max_concurrency=12)
    killed = []

    def kill(point: Point) -> None:
        if point is Point.CALLS_SENT and endpoint.stats().invocations > 15 and not killed:
            killed.append(point)
            raise KeyboardInterrupt

    with injected(kill), pytest.raises(KeyboardInterrupt):
        invoke(state_dsn, endpoint)
    reasons = []
    with ThreadPoolExecutor(2) as tasks:
        for task in [tasks.submit(invoke, state_dsn, endpoint, batch_id=no) for no in (1, 2)]:
            with pytest.raises(RunIncomplete) as stopped:
                task.result()
            reasons.append(str(stopped.value))
    report = runs.get_report(conn, ref.run_id)
    assert report.calls - report.refused == 30
    assert report.refused == report.throttled > 0
    reason = f"max_calls: 30 of 30 calls were made, plus {report.refused} that were refused"
    assert report.stop_reason == reason
    assert all(reason in one for one in reasons)
    assert sum(endpoint.items().values()) <= 30
    assert_requests_are_calls(conn, endpoint)


def test_a_ramp_starts_with_few_calls_and_is_shown(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    planned(conn, keys(60), max_concurrency=50, ramp_minutes=10_000)
    assert invoke(state_dsn, endpoint)["succeeded"] == 60
    assert endpoint.stats().max_in_flight == 2
    assert "ramp: at most 2 of 50 calls in flight" in caplog.text


def test_a_ramp_counts_every_call_even_of_short_tasks(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    planned(conn, keys(12), batch=4, max_concurrency=50, ramp_minutes=10_000)
    for batch_id in (1, 2, 3):
        invoke(state_dsn, endpoint, batch_id=batch_id)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT (ramp -> 'tally' -> 'calls')::integer FROM retrofill.run")
        assert cur.fetchall() == [(12,)]


@pytest.mark.parametrize("wire", [Wire.HANG, Wire.FIN, Wire.RST, Wire.CUT, Wire.STALL, Wire.DRIP])
def test_a_call_without_a_response_is_unknown_and_retried(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, wire: Wire
) -> None:
    lost = Reply(wire=wire, runs=True, body="x" * 1_000)
    rules(endpoint, Rule(keys=frozenset({"k00002"}), arrivals=Span(last=1), reply=lost))
    planned(conn, keys(5))
    summary = invoke(state_dsn, endpoint, deadline_s=5.0)
    assert outcomes(conn) == {"succeeded": 5, "unknown": 1}
    assert (summary["succeeded"], summary["retries"], summary["duplicates"]) == (5, 1, 1)
    assert endpoint.items(above=1) == {"k00002": 2}
    assert_requests_are_calls(conn, endpoint)


@pytest.mark.parametrize("error", ["ENILimitReachedException", "ResourceConflictException"])
def test_a_task_waits_for_a_starting_function(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, error: str
) -> None:
    rules(endpoint, Rule(arrivals=Span(last=2), reply=Reply(error=error)))
    planned(conn, keys(3))
    assert invoke(state_dsn, endpoint)["succeeded"] == 3
    assert outcomes(conn) == {"succeeded": 3, "starting": 6}


@pytest.mark.parametrize("error", ["TooManyRequestsException", "ResourceNotReadyException"])
def test_a_task_whose_calls_are_all_refused_stops_its_run_with_the_reason(
    state_dsn: str,
    conn: connection,
    endpoint: ScriptedEndpoint,
    caplog: pytest.LogCaptureFixture,
    error: str,
) -> None:
    refusal = Reply(error=error, message="no place for you")
    rules(endpoint, Rule(reply=refusal))
    ref = planned(conn, keys(20))
    with invoker(state_dsn, endpoint) as task:
        refusals = task._refusals  # noqa: SLF001  minutes would be waited for
        refusals._patience_s = 6.0  # noqa: SLF001
        with pytest.raises(RunIncomplete, match=f"call was refused for .* minutes: {error}: no"):
            task.run()
    assert f"minutes: {error}: no place for you; if no call is let through" in caplog.text
    report = runs.get_report(conn, ref.run_id)
    assert report.stop_reason is not None
    assert (report.succeeded, report.quarantined, report.items_left) == (0, 0, 20)


def test_a_misconfiguration_stops_the_task_and_touches_no_item(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, Rule(reply=Reply(error="KMSAccessDeniedException")))
    planned(conn, keys(50))
    with pytest.raises(FunctionUnusable, match="function: KMSAccessDeniedException"):
        invoke(state_dsn, endpoint)
    assert endpoint.stats().invocations <= 10, "nothing more is sent once one call is refused"
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*), sum(attempts), sum(failures) FROM retrofill.in_process")
        assert cur.fetchall() == [(50, 0, 0)]
    rules(endpoint)
    assert invoke(state_dsn, endpoint)["succeeded"] == 50


def test_the_run_stops_if_another_version_than_the_pinned_answers(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    moved = Reply(headers={"X-Amz-Executed-Version": "2"})
    rules(endpoint, Rule(calls=Span(first=21), reply=moved))
    planned(conn, keys(100))
    with pytest.raises(FunctionUnusable, match=r"opened with version 1, .* by version 2; run the"):
        invoke(state_dsn, endpoint)
    made = endpoint.stats().invocations
    assert 20 < made <= 20 + 10, "nothing more is sent once another version answers"
    assert endpoint.items() == dict.fromkeys(keys_in(conn, "results"), 1)
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT executed_version, outcome::text, count(*) FROM retrofill.v_call GROUP BY 1, 2"
        )
        assert set(cur.fetchall()) == {("1", "succeeded", 20), ("2", "succeeded", made - 20)}


def test_the_function_is_called_like_live_traffic() -> None:
    session = boto3.Session("key", "secret", region_name="us-east-1")
    with RawServer(lambda _: http_answer()) as server:
        given = Given(
            lambda name: session.client(name, endpoint_url=server.url),
            credentials=session.get_credentials(),
        )
        for facts in ({"qualifier": "live"}, {}):
            asked, function = Asked(given, "aws_default"), replace(FUNCTION, facts=facts)
            with closing(KIND.open(LambdaParams(function="f"), function, asked)) as client:
                client.send(1, Payload(b"{}"))
                assert client.completions.get(timeout=60).status == 200
        targets = [one.line.split(" ")[1] for one in server.requests]
        asked = Asked(given, "aws_default", reports_usage=True)
        with closing(KIND.open(LambdaParams(function="f"), FUNCTION, asked)) as client:
            client.send(1, Payload(b"{}"))
            assert client.completions.get(timeout=60).status == 200
        logs = [one.headers.get("x-amz-log-type") for one in server.requests]
    assert logs == [None, None, "Tail"], "the end of the log is sent on request"
    assert [target.rpartition("/")[2] for target in targets] == [
        "invocations?Qualifier=live",
        "invocations",
    ]


def test_an_execution_is_repeated_only_after_it_failed(state_dsn: str, conn: connection) -> None:
    failed = http_answer(b'{"errorType": "E"}', "X-Amz-Function-Error: Unhandled")
    answers = iter([None, failed, http_answer()])
    planned(conn, keys(1))
    with RawServer(lambda _: next(answers)) as server:
        with invoker(state_dsn, server, executions="retrofill-1") as task:
            assert task.run()["succeeded"] == 1
        names = [one.headers["x-amz-durable-execution-name"] for one in server.requests]
    lost, again, after_failure = names
    assert lost == again != after_failure
    assert all(re.fullmatch("retrofill-1-[0-9a-f]{32}", name) for name in names)
    assert outcomes(conn) == {"unknown": 1, "failed": 1, "succeeded": 1}


def test_a_terminated_task_leaves_the_rest_to_the_next_try(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.1)
    planned(conn, keys(400))
    stop = threading.Event()
    with (
        invoker(state_dsn, endpoint, stop=stop) as task,
        once_settled(state_dsn, stop.set),
        pytest.raises(Interrupted),
    ):
        task.run()
    done = len(keys_in(conn, "results"))
    assert 0 < done < 400
    assert invoke(state_dsn, endpoint)["items"] == 400 - done
    assert endpoint.items() == dict.fromkeys(keys(400), 1)


@pytest.mark.parametrize("grace_s", [0.0, 5.0])
def test_a_terminated_task_waits_for_its_calls_during_its_grace_period(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, grace_s: float
) -> None:
    slow = Rule(keys=frozenset({"k00000"}), reply=Reply(delay=1.2))
    rules(endpoint, slow, latency=0.05)
    planned(conn, keys(400), max_concurrency=10)
    stop = threading.Event()
    with (
        invoker(state_dsn, endpoint, stop=stop, grace_s=grace_s) as task,
        once_settled(state_dsn, stop.set),
        pytest.raises(Interrupted),
    ):
        task.run()
    ended = outcomes(conn)
    assert ended["succeeded"] > 0
    assert (ended.get("lost", 0) > 0) == (grace_s == 0), "the task did not wait for the slow call"
    assert not batches.is_held(conn, 1), "the batch is given back in either case"


def test_a_run_whose_first_items_all_fail_with_one_error_stops_early_with_a_hint(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    denied = Reply(function_error="AccessDenied", message="User is not authorized")
    rules(endpoint, Rule(reply=denied))
    ref = planned(conn, keys(400), max_concurrency=20, max_failure_percent=50,
                  min_items_judged=1_000)  # fmt: skip
    with pytest.raises(RunIncomplete, match=r"the first \d+ items all failed alike: AccessDenied"):
        invoke(state_dsn, endpoint, max_attempts=3)
    assert endpoint.stats().invocations < 100
    report = runs.get_report(conn, ref.run_id)
    assert report.items_left == 400 - report.quarantined
    (hint,) = report.hints
    assert f"hint: {hint}" in report.as_text({})
    assert f"AccessDenied: {hint}" in caplog.text
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT error FROM retrofill.v_call WHERE outcome = 'failed'")
        assert cur.fetchall() == [(f"User is not authorized (hint: {hint})",)]


def test_fast_failures_do_not_stop_a_run_with_slower_successes(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    bad = frozenset(keys(40)) - frozenset(keys(40)[::4])
    failing = Rule(keys=bad, reply=Reply(function_error="KeyError"))
    rules(endpoint, failing, Rule(reply=Reply(delay=0.8)))
    planned(conn, keys(40), max_concurrency=40, max_failure_percent=50, min_items_judged=1_000)
    assert invoke(state_dsn, endpoint)["succeeded"] == 40 - len(bad)
    assert set(keys_in(conn, "quarantine")) == bad


def test_items_that_fail_with_different_errors_are_each_blamed(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(
        endpoint,
        Rule(keys=frozenset(keys(20)[::2]), reply=Reply(function_error="AccessDenied")),
        Rule(reply=Reply(function_error="KeyError")),
    )
    planned(conn, keys(20), max_failure_percent=50, min_items_judged=1_000)
    invoke(state_dsn, endpoint)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT error_type, count(*), min(error) LIKE '%(hint: %' FROM"
                    " retrofill.v_quarantine GROUP BY 1 ORDER BY 1")  # fmt: skip
        assert cur.fetchall() == [("AccessDenied", 10, True), ("KeyError", 10, False)]


TOO_LARGE = Reply(
    function_error="Function.ResponseSizeTooLarge",
    message="Response payload size exceeded maximum allowed payload size (6291556 bytes).",
)


def test_a_response_too_large_is_a_success_if_responses_are_ignored(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    rules(endpoint, Rule(keys=frozenset({"k00003"}), reply=TOO_LARGE))
    ref = planned(conn, keys(20))
    invoke(state_dsn, endpoint, items_per_call=10)
    assert endpoint.items() == dict.fromkeys(keys(20), 1)
    assert keys_in(conn, "results") == keys(20)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT error_type, outcome::text FROM retrofill.v_call ORDER BY 1")
        assert cur.fetchall() == [
            ("", "succeeded"),
            ("Function.ResponseSizeTooLarge", "succeeded"),
        ]
    assert "with 10 items: succeeded, Function.ResponseSizeTooLarge" in caplog.text
    report = runs.get_report(conn, ref.run_id)
    assert (report.failed, report.quarantined) == (0, 0)


def test_a_response_too_large_is_quarantined_as_unsure_if_responses_are_read(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, Rule(keys=frozenset({"k00003"}), reply=TOO_LARGE))
    ref = planned(conn, keys(20))
    with invoker(state_dsn, endpoint, items_per_call=10) as task:
        task._replies._contract = Contract.BATCH_ITEM_FAILURES  # noqa: SLF001  no param asks for it here
        task.run()
    assert endpoint.items() == dict.fromkeys(keys(20), 1)
    assert (len(keys_in(conn, "results")), len(keys_in(conn, "quarantine"))) == (10, 10)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT unsure, attempts, failures FROM retrofill.v_quarantine")
        assert cur.fetchall() == [(True, 1, 0)]
    report = runs.get_report(conn, ref.run_id)
    assert (report.failed, report.answer_lost, report.quarantined) == (1, 1, 10)


def test_an_active_run_can_be_stopped(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.1)
    ref = planned(conn, keys(2_000), max_concurrency=5)
    stop_run = partial(stop, conn, ref.run_id, "enough")
    with once_settled(state_dsn, stop_run), pytest.raises(RunIncomplete, match="enough"):
        invoke(state_dsn, endpoint)
    assert 0 < len(keys_in(conn, "results")) < 2_000


def test_a_killed_task_leaves_only_what_it_had_in_flight_in_doubt(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.3)
    planned(conn, keys(60), max_concurrency=10)
    with invoker(state_dsn, endpoint) as task:
        for _ in range(6):
            task._turn()  # noqa: SLF001  and then no more, as after a kill
    in_doubt = outcomes(conn).get(None, 0)  # type: ignore[call-overload]
    assert in_doubt > 0
    summary = invoke(state_dsn, endpoint)
    assert len(keys_in(conn, "results")) == 60
    assert summary["duplicates"] == in_doubt
    assert set(endpoint.items()) == set(keys(60))
    assert len(endpoint.items(above=1)) <= in_doubt
    # Calls recorded at the moment of the kill may not have been sent.
    assert sum(outcomes(conn).values()) >= endpoint.stats().invocations


def test_a_task_whose_lease_expired_continues_without_losing_a_call(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    planned(conn, keys(60), max_concurrency=10)
    answered = []

    def run_out(point: Point) -> None:
        if point is Point.CALL_ANSWERED:
            answered.append(point)
            if len(answered) in {5, 25}:
                with conn, conn.cursor() as cur:
                    cur.execute("UPDATE retrofill.batch SET leased_until = now()")

    with injected(run_out):
        summary = invoke(state_dsn, endpoint)
    assert (summary["succeeded"], summary["calls"], summary["retries"]) == (60, 60, 0)
    assert endpoint.items() == dict.fromkeys(keys(60), 1)
    assert_requests_are_calls(conn, endpoint)


def test_a_replaced_task_records_its_successes_and_ends(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.4)
    planned(conn, keys(30), max_concurrency=10)
    with invoker(state_dsn, endpoint) as zombie:
        for _ in range(3):
            zombie._turn()  # noqa: SLF001  it is stopped here, and continues below
        sent = sum(outcomes(conn).values())
        with closing(BatchLease(state_dsn, 1, "another")) as lease:
            assert lease.take(holder_is_dead=lambda _: True)
            with pytest.raises(LeaseLost):
                zombie.run()
        assert sum(outcomes(conn).values()) == sent, "a zombie must not write ahead"
        assert endpoint.stats().invocations == sent, "a zombie must not send"
    assert len(keys_in(conn, "results")) == sent > 0
    assert invoke(state_dsn, endpoint)["items"] == 30 - sent
    assert max(endpoint.items().values()) == 1


def test_tasks_share_the_concurrency_of_their_run(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.05)
    ref = planned(conn, keys(1_200), batch=300, max_concurrency=12)
    failed: list[BaseException] = []

    def work(batch_id: int) -> None:
        try:
            invoke(state_dsn, endpoint, batch_id=batch_id)
        except BaseException as error:  # noqa: BLE001  a thread's error is raised below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    change_limits(conn, ref.run_id, max_concurrency=6)
    time.sleep(1.5)
    endpoint_stats = endpoint.stats()
    for thread in threads:
        thread.join()
    assert not failed
    assert endpoint_stats.max_in_flight <= 12
    report = runs.get_report(conn, ref.run_id)
    assert (report.succeeded, report.calls) == (1_200, 1_200)


def test_a_lost_database_is_waited_for(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    rules(endpoint, latency=0.05)
    planned(conn, keys(300), max_concurrency=10)

    def break_connections() -> None:
        with closing(psycopg2.connect(state_dsn)) as other, other, other.cursor() as cur:
            cur.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )

    for delay_s in (0.3, 0.6, 0.9):
        threading.Timer(delay_s, break_connections).start()
    assert invoke(state_dsn, endpoint)["succeeded"] == 300
    assert endpoint.items() == dict.fromkeys(keys(300), 1)
    assert_requests_are_calls(connect(state_dsn), endpoint)


class _LooksBeforeItSends:
    """A client that reads the row of each call from the state before it sends the call."""

    def __init__(self, client: Client, conn: connection) -> None:
        self.completions = client.completions
        self.unwritten: list[int] = []
        self._client = client
        self._conn = conn

    def send(self, tag: int, payload: Payload) -> None:
        with self._conn, self._conn.cursor() as cur:
            cur.execute(
                "SELECT count(*) FROM retrofill.v_call WHERE call_no = %s AND outcome IS NULL",
                (tag,),
            )
            if cur.fetchone() != (1,):
                self.unwritten.append(tag)
        self._client.send(tag, payload)


def test_a_call_is_recorded_before_it_is_sent(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    planned(conn, keys(40))
    with invoker(state_dsn, endpoint, items_per_call=3) as task:
        client = _LooksBeforeItSends(task._client, conn)  # type: ignore[arg-type]  # noqa: SLF001
        task._client = client  # noqa: SLF001  what is tested stands between it and the state
        assert task.run()["succeeded"] == 40
    assert client.unwritten == []
