"""The status of a run as people see it: stored status, tasks and DAG in one word."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a run."""

    OPEN = "open"
    UNAPPROVED = "unapproved"
    WAITING = "waiting"
    """Its DAG is paused."""

    PAUSED = "paused"
    STOPPING = "stopping"
    ABANDONED = "abandoned"
    """Airflow has ended its DAG run, and no task works on it."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"

    @property
    def text(self) -> str:
        """The word for people."""
        return "awaiting approval" if self is Status.UNAPPROVED else self.value


def status_of(
    stored: str,
    *,
    unapproved: bool,
    stopping: bool,
    paused: bool,
    active: bool,
    dag_paused: bool = False,
) -> Status:
    """Return the status of a run.

    :param stored: open, complete or incomplete
    :param active: whether a DAG run of it is active, or a task holds a batch of it
    :param dag_paused: whether Airflow starts no task of it, because its DAG is paused
    """
    if stored != "open":
        return Status(stored)
    if not active:
        return Status.ABANDONED
    if unapproved:
        return Status.UNAPPROVED
    if dag_paused:
        return Status.WAITING
    if stopping:
        return Status.STOPPING
    return Status.PAUSED if paused else Status.OPEN
