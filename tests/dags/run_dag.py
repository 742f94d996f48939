"""Runs of a DAG, each in its own process: a fork of one that has imported Airflow."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.dags.answering import answer_in_background

ROOT = Path(__file__).parents[2]
REJECT = "Reject"
WITHIN_S = 200
"""The maximum seconds of one run."""

_forks = get_context("forkserver")


def warm(environment: Mapping[str, str]) -> None:
    """Start the process to fork, and wait until it is warm; it lives as long as this one.

    :param environment: what Airflow needs when it is imported
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        _forks.set_forkserver_preload(["tests.dags.warm"])
        first = _forks.Process(target=int)
        first.start()
    first.join()
    assert first.exitcode == 0


def run_dag(
    environment: Mapping[str, str],
    conf: dict[str, Any],
    dag: str = "retrofill_s3",
    run_after: datetime | None = None,
    user: Callable[[str], str] = lambda _: REJECT,
) -> dict[str, str]:
    """Run a DAG; return the final state of its tasks and of the run, and the whole log.

    :param user: returns the user's answer to a task that asks for approval, by its text
    :param run_after: a part of the id of the DAG run; None: now
    """
    when = {} if run_after is None else {"run_after": run_after}
    # One per test process and environment: they run in parallel.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    log = ROOT / ".pytest_cache" / f"last_dag_run_{Path(sys.prefix).name}_{worker}.log"
    log.parent.mkdir(exist_ok=True)
    log.touch(mode=0o600)
    log.chmod(0o600)
    answer, asked = _forks.Pipe()
    process = _forks.Process(
        target=_run, args=(dict(environment), {"run_conf": conf, **when}, dag, log, asked)
    )
    process.start()
    asked.close()
    try:
        states: dict[str, str] = {}
        while not states and answer.poll(WITHIN_S):
            said = answer.recv()
            if isinstance(said, str):
                answer.send(user(said))
            else:
                states = said
    except EOFError:
        process.join()  # it died, and logged the reason
        states = {}
    finally:
        process.kill()
        process.join()
        answer.close()
    assert states, log.read_text()[-8000:]
    return {**states, "log": log.read_text()}


def _run(
    environment: dict[str, str], arguments: dict[str, Any], dag: str, log: Path, asked: Connection
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    warnings.simplefilter("ignore")

    def ask(body: str) -> str:
        asked.send(body)
        return str(asked.recv())

    answer_in_background(ask)
    module, _, name = dag.rpartition(":")
    run = getattr(import_module(module or "dags.retrofill_dags"), name).test(**arguments)
    states: dict[str, set[str]] = {}
    for instance in run.get_task_instances():
        states.setdefault(instance.task_id, set()).add(str(instance.state))
    final = {name: "+".join(sorted(found)) for name, found in states.items()}
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    asked.send({**final, "dag_run": str(run.state)})
