"""Tries of a task: only those without progress count."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from retrofill.compat import RetryAction, RetryRule, keeps_notes
from retrofill.model.errors import ConfigError, NoProgress, StateUnavailable
from retrofill.tries import RETRIES, RETRIES_IN_ALL, Tries, WhileProgress

needs_notes = pytest.mark.skipif(not keeps_notes(), reason="it stores nothing between tries")
POLICY = WhileProgress([RetryRule(ConfigError, RetryAction.FAIL)])


@dataclass
class Task:
    """A task whose tries Airflow counts, with its store in Airflow."""

    number: int = 0
    most: int = RETRIES_IN_ALL
    store: dict[str, Any] = field(default_factory=dict)
    is_away: bool = False

    def get(self, name: str, default: Any) -> Any:
        return self.store.get(name, default)

    def set(self, name: str, value: Any) -> None:
        if self.is_away:
            raise RuntimeError("the API server is away")
        self.store[name] = value

    @property
    def context(self) -> Any:
        return {
            "ti": SimpleNamespace(try_number=self.number, max_tries=self.most),
            "task": SimpleNamespace(retries=RETRIES_IN_ALL),
            "task_state_store": self,
        }

    def begin(self) -> Tries:
        self.number += 1
        tries = Tries(self.context)
        tries.require_progress()
        return tries

    def clear(self) -> None:
        """Do what Airflow does when someone clears the task."""
        self.most = self.number + RETRIES_IN_ALL


def begin_without_progress(task: Task) -> None:
    """Use up all tries without progress, each killed at once."""
    for _ in range(RETRIES + 1):
        task.begin()


@needs_notes
def test_tries_without_progress_fail_the_task() -> None:
    task = Task()
    begin_without_progress(task)
    with pytest.raises(NoProgress, match="5 tries in a row ended without progress"):
        task.begin()


@needs_notes
def test_tries_with_progress_do_not_count() -> None:
    task = Task()
    for _ in range(50):
        task.begin().progressed()
    begin_without_progress(task)
    with pytest.raises(NoProgress):
        task.begin()


@needs_notes
def test_a_cleared_task_starts_again() -> None:
    task = Task()
    begin_without_progress(task)
    task.clear()
    begin_without_progress(task)
    with pytest.raises(NoProgress):
        task.begin()


def test_progress_that_airflow_cannot_store_does_not_end_a_try() -> None:
    task = Task(is_away=True)
    task.begin().progressed()


def decide(task: Task, error: BaseException) -> RetryAction:
    return POLICY.evaluate(error, task.number, task.most, task.context).action


@needs_notes
def test_the_last_try_without_progress_ends_with_its_own_error() -> None:
    task = Task()
    for _ in range(RETRIES):
        task.begin()
        assert decide(task, StateUnavailable("gone")) is RetryAction.DEFAULT
    task.begin()
    assert decide(task, StateUnavailable("gone")) is RetryAction.FAIL


def test_an_error_after_progress_is_retried_and_a_final_one_is_not() -> None:
    task = Task()
    for _ in range(30):
        task.begin().progressed()
    assert decide(task, StateUnavailable("gone")) is RetryAction.DEFAULT
    assert decide(task, ConfigError()) is RetryAction.FAIL


def test_without_a_task_store_airflow_alone_counts_tries() -> None:
    task = Task()
    without = {**task.context, "task_state_store": None}
    for number in range(1, 20):
        without["ti"] = SimpleNamespace(try_number=number, max_tries=RETRIES_IN_ALL)
        tries = Tries(without)
        tries.require_progress()
        tries.progressed()
        assert tries.without_progress == 0
    assert POLICY.evaluate(ConfigError(), 1, 1, without).action is RetryAction.FAIL
