"""Runs and sets: one pass over a job's source, and the part of it that one DAG run takes."""

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
"""The name under which ``open_run`` leaves the reason why it opened no run."""


class DagRun(NamedTuple):
    """A DAG run, as far as a run needs to know it."""

    dag_id: str
    dag_run_id: str


class SetRef(NamedTuple):
    """Identifies a set: a run, and the number of the set in it."""

    run_id: int
    set_no: int

    def next_dag_run_id(self, dag_run_id: str) -> str:
        """Return the id of the DAG run that takes the run's next set.

        A new or restored state reuses the numbers of runs, but Airflow still knows the DAG runs of
        the former ones. A digest of the current DAG run's id keeps the new ids apart from those.

        :param dag_run_id: the DAG run that took this set
        """
        mark = hashlib.blake2b(dag_run_id.encode(), digest_size=4).hexdigest()
        return f"retrofill__run_{self.run_id}__set_{self.set_no + 1}__{mark}"


class TaskName(NamedTuple):
    """A task within the DAG run of a set, so that people can find its log."""

    task_id: str
    """Empty: no name."""

    map_index: int
    """The map index of the task; -1: it is not mapped."""


NOT_MAPPED = -1
"""The map index of a task that is not mapped, as in Airflow."""

UNNAMED = TaskName("", NOT_MAPPED)


class Job(NamedTuple):
    """What defines a job, as stored."""

    name: str
    fingerprint: str
    source: str
    function_name: str
    event: str


class KnownJob(NamedTuple):
    """A job that the state knows."""

    job_id: int
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is known of a run before it is opened."""

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
    """Whether the source had an object, before filters."""

    interval_start: datetime | None = None
    """The start of the run's data interval; None: it has none."""

    price: Price = field(default_factory=Price)
    """The price of its calls."""


class Run(NamedTuple):
    """A run, as stored."""

    run_id: int
    job_id: int
    job: str
    status: str
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
    """Whether the source had an object when the run was opened, before filters."""

    wait_notified: bool = False
    """Whether a notification said that the run waits for its paused DAG."""

    price: Price = Price()
    """The price of its calls."""

    plan: dict[str, Any] | None = None
    """What its first set would do; None: no plan is needed, or not made yet."""

    approval: Approval | None = None
    """The approval of the plan; None: no approval is needed, or not yet asked."""

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
    """Older items are late, as they belong to no interval any more; None: no item is late."""

    opened: datetime | None = None
    """When the run was opened: items modified later are left out; None: not open yet."""
