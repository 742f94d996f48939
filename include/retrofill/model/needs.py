"""What a job needs a person for, the most urgent first."""

from collections.abc import Iterator

from retrofill.model.standing import Standing

_OF_A_RUN = {
    Standing.UNAPPROVED: "its plan waits for approval",
    Standing.ABANDONED: "it was abandoned",
    Standing.WAITING: "its DAG is paused in Airflow",
    Standing.PAUSED: "it is paused",
    Standing.INCOMPLETE: "it ended incomplete",
}
"""What a run needs a person for, the most urgent first."""

QUARANTINED = "items wait in quarantine"
NOT_BEGUN = "its DAG is paused in Airflow, so no run begins"


def needs_of(standing: Standing | None, *, quarantines: bool, is_off: bool) -> tuple[str, ...]:
    """Return what a job needs a person for, the most urgent first.

    :param standing: of the run that tells how the job is; None: it has none
    :param quarantines: whether items of it wait in quarantine
    :param is_off: whether it has a schedule and its DAG is paused
    """
    return tuple(_needs(standing, quarantines=quarantines, is_off=is_off))


def urgency(needs: tuple[str, ...]) -> int:
    """Return where a job of these needs stands among others: the lowest first."""
    order = [*_OF_A_RUN.values(), QUARANTINED, NOT_BEGUN]
    return min((order.index(need) for need in needs), default=len(order))


def _needs(standing: Standing | None, *, quarantines: bool, is_off: bool) -> Iterator[str]:
    if standing in _OF_A_RUN:
        yield _OF_A_RUN[standing]
    if quarantines:
        yield QUARANTINED
    if is_off and standing is not Standing.WAITING:
        yield NOT_BEGUN
