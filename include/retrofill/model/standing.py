"""How a run stands, in one word: from its status, its tasks and its DAG."""

from enum import StrEnum


class Standing(StrEnum):
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
    def said(self) -> str:
        """The word for people."""
        return "awaiting approval" if self is Standing.UNAPPROVED else self.value


def standing_of(
    status: str,
    *,
    unapproved: bool,
    stopping: bool,
    paused: bool,
    active: bool,
    dag_paused: bool = False,
) -> Standing:
    """Return how a run stands.

    :param status: as stored: open, complete or incomplete
    :param active: whether a DAG run of it is active, or a task holds a batch of it
    :param dag_paused: whether Airflow starts no task of it, because its DAG is paused
    """
    if status != "open":
        return Standing(status)
    if not active:
        return Standing.ABANDONED
    if unapproved:
        return Standing.UNAPPROVED
    if dag_paused:
        return Standing.WAITING
    if stopping:
        return Standing.STOPPING
    return Standing.PAUSED if paused else Standing.OPEN
