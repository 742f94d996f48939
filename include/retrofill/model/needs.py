"""Why a job needs attention, most urgent first."""

from collections.abc import Iterator, Mapping
from itertools import product

from retrofill.model.status import Status, status_of

_OF_A_RUN = {
    Status.UNAPPROVED: "its plan waits for approval",
    Status.ABANDONED: "it was abandoned",
    Status.WAITING: "its DAG is paused in Airflow",
    Status.PAUSED: "it is paused",
    Status.INCOMPLETE: "it ended incomplete",
}
"""Why a run needs attention, most urgent first."""

QUARANTINED = "items wait in quarantine"
NOT_BEGUN = "its DAG is paused in Airflow, so no run starts"


def needs_of(status: Status | None, *, quarantines: bool, is_off: bool) -> tuple[str, ...]:
    """Return why a job needs attention, most urgent first.

    :param status: of the run that represents the job; None: the job has no run
    :param quarantines: whether the job has items in quarantine
    :param is_off: whether it has a schedule but its DAG is paused
    """
    needs = [_OF_A_RUN[status]] if status in _OF_A_RUN else []
    if quarantines:
        needs.append(QUARANTINED)
    if is_off and status is not Status.WAITING:
        needs.append(NOT_BEGUN)
    return tuple(needs)


_ORDER = (*_OF_A_RUN.values(), QUARANTINED, NOT_BEGUN)

LEAST_URGENT = len(_ORDER)
"""Where a job stands that needs nobody."""


def urgency(needs: tuple[str, ...]) -> int:
    """Return the sort position of a job with these needs; lower is more urgent."""
    return min((_ORDER.index(need) for need in needs), default=LEAST_URGENT)


def _ranks() -> Iterator[tuple[str, int]]:
    """Yield the urgency of each situation of a job, by the key that the state uses."""
    flags_of_a_run = ("unapproved", "stopping", "paused", "active", "dag_paused")
    for quarantines, is_off, *of_run in product((False, True), repeat=7):
        key = "".join(f"{flag:d}" for flag in (*of_run, quarantines, is_off))
        flags = dict(zip(flags_of_a_run, of_run, strict=True))
        for stored in ["open"] if any(of_run) else ["never", "complete", "incomplete", "open"]:
            status = None if stored == "never" else status_of(stored, **flags)
            needs = needs_of(status, quarantines=quarantines, is_off=is_off)
            yield f"{stored}{key}", urgency(needs)


RANKS: Mapping[str, int] = dict(_ranks())
"""The urgency of each situation of a job, by the status of its run and flags, as in jobs.sql."""
