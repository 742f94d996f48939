"""Invoke tasks that Airflow ends: by a signal, by an error of its own, by an execution timeout."""

import json
import os
import signal
import threading
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
from tests.integration.opened import enqueue, item, open_run

ITEMS = 2_000


def by_airflow_s_handler(work: Callable[[], Any]) -> None:
    """End the task as an Airflow does whose handler throws an error into the midst of it."""

    def throw(_number: int, _frame: FrameType | None) -> None:
        raise AirflowTaskTerminated

    signal.signal(signal.SIGTERM, throw)
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    work()


def by_execution_timeout(work: Callable[[], Any]) -> None:
    with timeout(2.0):
        work()


def work_until_told(
    dsn: str, url: str, end: Callable[[Callable[[], Any]], None], answer: Any
) -> None:
    """Be the process of an invoke task, and tell how it ended."""
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
        end(lambda: operator.execute(context))
    except BaseException as error:  # noqa: BLE001  whatever Airflow would see
        answer.put((type(error).__name__, store))


@pytest.mark.parametrize(
    ("end", "grace_s"),
    [(by_airflow_s_handler, None), (by_execution_timeout, None), (by_execution_timeout, "0")],
)
def test_its_calls_are_settled_its_batch_is_given_back_and_it_is_tried_again(
    state_dsn: str,
    end: Callable[[Callable[[], Any]], None],
    grace_s: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without any grace its calls are given up at once, and the rest is the same."""
    if grace_s is not None:
        monkeypatch.setenv("AIRFLOW__RETROFILL__GRACE_PERIOD", grace_s)
    with closing(connect(state_dsn)) as conn:
        ref = open_run(conn)
        enqueue(conn, ref, [item(f"k{number:05}") for number in range(ITEMS)])
        batches.plan(conn, ref, 1, most_items=ITEMS, fewest_items=ITEMS)
    processes = get_context("spawn")
    answer = processes.Queue()
    slow = Rule(keys=frozenset({"k00000"}), reply=Reply(delay=2.3))
    script = Script(functions=(Function(name="f"),), latency=0.2, rules=(slow,))
    with scripted_endpoint(script) as endpoint:
        task = processes.Process(
            target=work_until_told, args=(state_dsn, endpoint.url, end, answer)
        )
        task.start()
        try:
            error, noted = answer.get(timeout=60)
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
