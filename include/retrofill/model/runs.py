"""Runs and sets: one pass over a job's source, and what one DAG run of it takes."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.model.approval import Approval
from retrofill.model.cost import Price
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits

REFUSED = "refused"
"""The name under which ``open_run`` leaves why it opened no run, for whoever tells people."""


class DagRun(NamedTuple):
    """A DAG run, as far as a run needs to know it."""

    dag_id: str
    dag_run_id: str


class SetRef(NamedTuple):
    """The name of a set: which run, and which set of it."""

    run_id: int
    set_no: int

    def next_dag_run_id(self, dag_run_id: str) -> str:
        """Return the id of the DAG run that takes the run's next set.

        A new or restored state gives the numbers of runs again, and Airflow knows the DAG runs of
        the former ones still; the id of the DAG run that asks is none of theirs.

        :param dag_run_id: the DAG run that took this set
        """
        mark = hashlib.blake2b(dag_run_id.encode(), digest_size=4).hexdigest()
        return f"retrofill__run_{self.run_id}__set_{self.set_no + 1}__{mark}"


class TaskName(NamedTuple):
    """A task within the DAG run of a set, by which people find its log."""

    task_id: str
    """Empty: it has no name."""

    map_index: int
    """Which of the mapped ones it is; -1: it is not mapped."""


NOT_MAPPED = -1
"""The map index of a task that is not mapped, as Airflow has it."""

UNNAMED = TaskName("", NOT_MAPPED)


class Job(NamedTuple):
    """What a job is of, as the state remembers it."""

    name: str
    fingerprint: str
    source: str
    function_name: str
    event: str


class KnownJob(NamedTuple):
    """A job that the state remembers."""

    job_id: int
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What there is to know of a run before it is opened."""

    job_id: int
    source: str
    """What the run lists, for people."""

    config: dict[str, Any]
    delivery: Delivery
    modified_after: datetime | None
    modified_before: datetime | None
    limits: Limits
    dag_id: str
    dag_run_id: str
    source_seen: bool = False
    """Whether the source had an object, filters aside."""

    interval_start: datetime | None = None
    """When the interval that the run is for begins; None: it is for none."""

    price: Price = field(default_factory=Price)
    """What its calls cost."""


class Run(NamedTuple):
    """A run, as the state remembers it."""

    run_id: int
    job_id: int
    job: str
    state: str
    config: dict[str, Any]
    delivery: Delivery
    modified_after: datetime | None
    modified_before: datetime | None
    function: Pinned
    """The function that the run calls."""

    stop_reason: str | None
    opened_at: datetime
    interval_start: datetime | None = None
    source_seen: bool = False
    """Whether the source had an object when the run was opened, filters aside."""

    told_waiting: bool = False
    """Whether people were told that it waits for its DAG, which is paused."""

    price: Price = Price()
    """What its calls cost."""

    plan: dict[str, Any] | None = None
    """What its first set would do; None: nobody asked for a plan, or it is not made yet."""

    approval: Approval | None = None
    """What became of the plan; None: nobody is asked, or not yet."""

    @property
    def window(self) -> "Window":
        """When an item must have been modified to belong to the run."""
        return Window(
            after=self.modified_after,
            before=self.modified_before,
            start=self.interval_start,
            opened=self.opened_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When an item must have been modified: at ``after`` or later, and before ``before``."""

    after: datetime | None
    before: datetime | None

    start: datetime | None = None
    """What is older belongs to no interval of its own any more: it is late; None: nothing is."""

    opened: datetime | None = None
    """When the run was opened: what was modified later is left out; None: it is not open yet."""
