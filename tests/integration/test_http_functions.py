"""Whole invoke tasks with an HTTP function in its own server, the functions-framework."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.config import RunConfig, params_for
from retrofill.environment import EnvironmentConnections
from retrofill.functions.kind import Asked
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

from stack.endpoint import Function, Reply, Rule, Script, Span, Wire, scripted_endpoint
from tests.function_server import POISON, TOKEN, counts, function_server
from tests.integration.opened import enqueue, item, open_run

ITEMS = 10_000
ITEMS_PER_CALL = 20


@pytest.fixture
def function(tmp_path: Path) -> Iterator[str]:
    """The address of a function in its own server."""
    with function_server(tmp_path) as url:
        yield url


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def asked(event: str, **params: Any) -> RunConfig:
    return params_for("s3").config(
        {
            "bucket": "bucket", "prefix": "k", "function_kind": "http", "http_conn_id": "f",
            "http_path": "/run", "event": event, "max_attempts": 2, **params,
        }
    )  # fmt: skip


def wiring(url: str) -> Wiring:
    fields = {"conn_type": "http", "host": url, "extra": {"bearer": TOKEN}}
    return Wiring(EnvironmentConnections({"AIRFLOW_CONN_F": json.dumps(fields)}))


def _asked(url: str) -> Asked:
    fields = {"conn_type": "http", "host": url}
    return Asked(EnvironmentConnections({"AIRFLOW_CONN_F": json.dumps(fields)}), "aws_default")


@contextmanager
def invoke_task(
    dsn: str, url: str, config: RunConfig, delivery: Delivery, *, deadline_s: float | None = None
) -> Iterator[Invoker]:
    with closing(BatchLease(dsn, 1, "task")) as lease:
        assert take(lease, holder_is_dead=lambda _: True)
        with closing(connect(dsn)) as conn:
            run = runs.get_run(conn, lease.run_id)
        pinned = Pinned(kind="http", name=f"{url}/run", version="", timeout_s=1)
        run = run._replace(function=pinned, delivery=delivery)
        client = wiring(url).client_of(config, run)
        if deadline_s is not None:
            client._deadline_s = deadline_s  # type: ignore[attr-defined]  # noqa: SLF001
        with closing(client):
            yield Invoker(
                lease=lease,
                client=client,
                shape=wiring(url).shape_of(config, run),
                run=run,
                config=config,
                stop_asked=lambda: False,
            )


@pytest.mark.parametrize(
    ("event", "size"),
    [
        ("cloudevents-batch", (ITEMS, ITEMS_PER_CALL)),
        ("cloudevents", (200, 1)),
        ("cloudevents-binary", (200, 1)),
    ],
)
def test_our_counts_equal_the_functions(
    state_dsn: str, conn: connection, function: str, event: str, size: tuple[int, int]
) -> None:
    items, per_call = size
    keys = [f"k{number:05}" for number in range(items)]
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in keys])
    batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
    answer = "batchItemFailures" if event == "cloudevents-batch" else "return"
    delivery = Delivery(event=event, items_per_call=per_call, answer=answer)
    with invoke_task(state_dsn, function, asked(event), delivery) as task:
        summary = task.run()

    theirs = counts(function)
    assert summary["succeeded"] == items - 1
    assert theirs["succeeded"].keys() == set(keys) - {POISON}
    with conn, conn.cursor() as cur:
        cur.execute("SELECT outcome, count(*) FROM retrofill.v_call GROUP BY 1")
        ours = Counter(dict(cur.fetchall()))
        cur.execute("SELECT item_key, error_type FROM retrofill.v_quarantine")
        assert cur.fetchall() == [(POISON, "Http.500")]
    requests = theirs["requests"]
    assert sum(ours.values()) == requests.pop("all")
    assert ours == requests
    assert ours["throttled"] > 0
    assert ours["unknown"] > 0
    assert set(theirs["keys"]) == {1}, "each repetition of the same items has the same key"


def test_the_planned_function_is_the_one_called(function: str) -> None:
    config = asked("items")
    pinned = config.function_kind.resolve(config.function, _asked(function))
    assert pinned == Pinned(
        kind="http", name=f"{function}/run", version="", timeout_s=60, facts={"method": "POST"}
    )
    assert counts(function)["requests"] == {}, "looking it up sends no request"


FAULTS = {
    "throttle": Reply(status=429, body="later"),
    "server error": Reply(status=500, body="no"),
    "gateway error": Reply(status=502, body="<html>"),
    "malformed": Reply(body="no JSON"),
    "hang": Reply(wire=Wire.HANG, runs=True),
    "cut": Reply(wire=Wire.CUT, body="xxxx", runs=True),
    "reset": Reply(wire=Wire.RST, runs=True),
    "close": Reply(wire=Wire.FIN, runs=True),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_whatever_the_endpoint_returns(
    state_dsn: str, conn: connection, name: str
) -> None:
    keys = [f"k{number:05}" for number in range(60)]
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in keys])
    batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
    path = "/2015-03-31/functions/f/invocations"
    good = '{"batchItemFailures": []}'
    rule = Rule(calls=Span(first=2, last=3), reply=FAULTS[name])
    script = Script(functions=(Function(name="f"),), rules=(rule,), answer=good, latency=0.001)
    with scripted_endpoint(script) as endpoint:
        config = asked("items", http_path=path, max_attempts=5)
        delivery = Delivery(event="items", items_per_call=10, answer="batchItemFailures")
        with invoke_task(state_dsn, endpoint.url, config, delivery, deadline_s=1.0) as task:
            assert task.run()["succeeded"] == 60
        assert set(endpoint.items(of="executed")) == set(keys)
        invocations = endpoint.stats().invocations
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT count(*), count(*) FILTER (WHERE outcome <> 'succeeded') FROM retrofill.v_call"
        )
        assert cur.fetchone() == (invocations, 2)
