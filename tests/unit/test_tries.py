"""Tries of a task: those that made progress do not count, and those in vain do."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from retrofill.compat import RetryAction, RetryRule, keeps_notes
from retrofill.model.errors import ConfigError, NoProgress, StateUnavailable
from retrofill.tries import RETRIES, RETRIES_IN_ALL, Tries, WhileProgress

needs_notes = pytest.mark.skipif(not keeps_notes(), reason="it keeps no notes between tries")
POLICY = WhileProgress([RetryRule("retrofill.model.errors.ConfigError", RetryAction.FAIL)])


@dataclass
class Task:
    """A task as Airflow counts its tries, with the store that Airflow keeps for it."""

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
        """Do what Airflow does when a person clears the task."""
        self.most = self.number + RETRIES_IN_ALL


def begin_in_vain(task: Task) -> None:
    """Use up what is allowed without progress, each try killed at once."""
    for _ in range(RETRIES + 1):
        task.begin()


@needs_notes
def test_a_task_whose_tries_are_in_vain_is_given_up() -> None:
    task = Task()
    begin_in_vain(task)
    with pytest.raises(NoProgress, match="5 tries in a row ended without progress"):
        task.begin()


@needs_notes
def test_tries_with_progress_do_not_count() -> None:
    task = Task()
    for _ in range(50):
        task.begin().progressed()
    begin_in_vain(task)
    with pytest.raises(NoProgress):
        task.begin()


@needs_notes
def test_a_task_that_a_person_has_cleared_begins_anew() -> None:
    task = Task()
    begin_in_vain(task)
    task.clear()
    begin_in_vain(task)
    with pytest.raises(NoProgress):
        task.begin()


def test_progress_that_airflow_does_not_note_ends_no_try() -> None:
    task = Task(is_away=True)
    task.begin().progressed()


def decide(task: Task, error: BaseException) -> RetryAction:
    return POLICY.evaluate(error, task.number, task.most, task.context).action


@needs_notes
def test_the_last_try_in_vain_ends_with_its_own_error() -> None:
    task = Task()
    for _ in range(RETRIES):
        task.begin()
        assert decide(task, StateUnavailable("gone")) is RetryAction.DEFAULT
    task.begin()
    assert decide(task, StateUnavailable("gone")) is RetryAction.FAIL


def test_an_error_after_progress_is_tried_again_and_a_final_one_never() -> None:
    task = Task()
    for _ in range(30):
        task.begin().progressed()
    assert decide(task, StateUnavailable("gone")) is RetryAction.DEFAULT
    assert decide(task, ConfigError()) is RetryAction.FAIL


def test_where_airflow_keeps_no_notes_it_alone_counts_the_tries() -> None:
    task = Task()
    without = {**task.context, "task_state_store": None}
    for number in range(1, 20):
        without["ti"] = SimpleNamespace(try_number=number, max_tries=RETRIES_IN_ALL)
        tries = Tries(without)
        tries.require_progress()
        tries.progressed()
        assert tries.without_progress == 0
    assert POLICY.evaluate(ConfigError(), 1, 1, without).action is RetryAction.FAIL
