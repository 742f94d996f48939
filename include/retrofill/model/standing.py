"""How a run is, in one word: what its state, its tasks and its DAG say together."""

from enum import StrEnum


class Standing(StrEnum):
    """How a run is."""

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
    state: str,
    *,
    unapproved: bool,
    stopping: bool,
    paused: bool,
    at_work: bool,
    dag_paused: bool = False,
) -> Standing:
    """Return how a run is.

    :param state: as the state has it: open, complete or incomplete
    :param at_work: whether a DAG run of it lives, or a task holds a batch of it
    :param dag_paused: whether Airflow begins no task of it, since its DAG is switched off
    """
    if state != "open":
        return Standing(state)
    if not at_work:
        return Standing.ABANDONED
    if unapproved:
        return Standing.UNAPPROVED
    if dag_paused:
        return Standing.WAITING
    if stopping:
        return Standing.STOPPING
    return Standing.PAUSED if paused else Standing.OPEN
