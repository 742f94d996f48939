"""Why a job needs attention, most urgent first."""

from collections.abc import Iterator

from retrofill.model.standing import Standing

_OF_A_RUN = {
    Standing.UNAPPROVED: "its plan waits for approval",
    Standing.ABANDONED: "it was abandoned",
    Standing.WAITING: "its DAG is paused in Airflow",
    Standing.PAUSED: "it is paused",
    Standing.INCOMPLETE: "it ended incomplete",
}
"""Why a run needs attention, most urgent first."""

QUARANTINED = "items wait in quarantine"
NOT_BEGUN = "its DAG is paused in Airflow, so no run starts"


def needs_of(standing: Standing | None, *, quarantines: bool, is_off: bool) -> tuple[str, ...]:
    """Return why a job needs attention, most urgent first.

    :param standing: of the run that represents the job; None: the job has no run
    :param quarantines: whether the job has items in quarantine
    :param is_off: whether it has a schedule but its DAG is paused
    """
    return tuple(_needs(standing, quarantines=quarantines, is_off=is_off))


def urgency(needs: tuple[str, ...]) -> int:
    """Return the sort position of a job with these needs; lower is more urgent."""
    order = [*_OF_A_RUN.values(), QUARANTINED, NOT_BEGUN]
    return min((order.index(need) for need in needs), default=len(order))


def _needs(standing: Standing | None, *, quarantines: bool, is_off: bool) -> Iterator[str]:
    if standing in _OF_A_RUN:
        yield _OF_A_RUN[standing]
    if quarantines:
        yield QUARANTINED
    if is_off and standing is not Standing.WAITING:
        yield NOT_BEGUN
