"""Invoke tasks that Airflow ends: by a signal, by an error, by an execution timeout."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.timeout import timeout
from retrofill.compat import AirflowTaskTerminated, keeps_notes
from retrofill.model.errors import Interrupted
from retrofill.operators import InvokeOperator
from retrofill.state import batches, runs
from retrofill.state.connection import connect

from stack.endpoint import Function, Reply, Rule, Script, scripted_endpoint
from tests.integration.opened import LIMITS, enqueue, item, keys_in, open_run

ITEMS = 2_000


def by_airflow_s_handler(dsn: str, work: Callable[[], Any]) -> None:
    """End the task like an Airflow whose signal handler raises an error in it."""

    def throw(_number: int, _frame: FrameType | None) -> None:
        raise AirflowTaskTerminated

    signal.signal(signal.SIGTERM, throw)
    in_mid_run(dsn, signal.SIGTERM)
    work()


def by_execution_timeout(dsn: str, work: Callable[[], Any]) -> None:
    with timeout(600.0):
        in_mid_run(dsn, signal.SIGALRM)  # as if they had passed
        work()


def in_mid_run(dsn: str, number: signal.Signals) -> None:
    """Send this process a signal when more calls have succeeded than are in flight at once."""

    def watch() -> None:
        with closing(connect(dsn)) as conn:
            while len(keys_in(conn, "results")) <= LIMITS["max_concurrency"]:
                time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()


def work_until_ended(
    dsn: str, url: str, end: Callable[[str, Callable[[], Any]], None], answer: Any
) -> None:
    """Be the process of an invoke task, and report how it ended."""
    extra = {"region_name": "us-east-1", "endpoint_url": url}
    aws = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    os.environ |= {
        "AIRFLOW_CONN_RETROFILL_STATE": dsn, "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
    }  # fmt: skip
    store: dict[str, int] = {}
    operator = InvokeOperator(task_id="invoke", opened=[1, 1], batch={"batch_id": 1, "label": ""})
    context: Any = {
        "ti": SimpleNamespace(try_number=1, max_tries=1_000, map_index=0),
        "task": SimpleNamespace(retries=1_000),
        "task_state_store": SimpleNamespace(get=store.get, set=store.__setitem__),
        "dag_run": SimpleNamespace(dag_id="d", run_id="r"),
    }
    try:
        end(dsn, lambda: operator.execute(context))
    except BaseException as error:  # noqa: BLE001  whatever Airflow would see
        answer.put((type(error).__name__, store))


@pytest.mark.parametrize(
    ("end", "grace_s"),
    [(by_airflow_s_handler, None), (by_execution_timeout, None), (by_execution_timeout, "0")],
)
def test_a_terminated_task_settles_returns_its_batch_and_is_retried(
    state_dsn: str,
    end: Callable[[str, Callable[[], Any]], None],
    grace_s: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a grace period its calls are given up at once; the rest is the same."""
    if grace_s is not None:
        monkeypatch.setenv("AIRFLOW__RETROFILL__GRACE_PERIOD", grace_s)
    with closing(connect(state_dsn)) as conn:
        ref = open_run(conn)
        enqueue(conn, ref, [item(f"k{number:05}") for number in range(ITEMS)])
        batches.plan(conn, ref, 1, most_items=ITEMS, fewest_items=ITEMS)
    processes = get_context("spawn")
    answer = processes.Queue()
    slow = Rule(keys=frozenset({"k00000"}), reply=Reply(delay=1.5))
    script = Script(functions=(Function(name="f"),), latency=0.2, rules=(slow,))
    with scripted_endpoint(script) as endpoint:
        task = processes.Process(
            target=work_until_ended, args=(state_dsn, endpoint.url, end, answer)
        )
        task.start()
        try:
            error, noted = answer.get(timeout=200)
        finally:
            task.kill()
            task.join()
        assert error == Interrupted.__name__
        assert list(noted.values()) == [1] * keeps_notes(), "the try made progress"
        assert set(endpoint.items().values()) == {1}
    with closing(connect(state_dsn)) as conn:
        report = runs.get_report(conn, ref.run_id)
        assert (report.lost > 0, report.unknown, report.lost_tasks) == (grace_s == "0", 0, 0)
        assert 0 < report.succeeded == report.calls - report.lost < ITEMS
        assert not batches.is_held(conn, ref.run_id)
