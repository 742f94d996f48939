"""Why a job needs attention, most urgent first."""

from collections.abc import Iterator, Mapping
from itertools import product

from retrofill.model.standing import Standing, standing_of

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


_ORDER = (*_OF_A_RUN.values(), QUARANTINED, NOT_BEGUN)

LEAST_URGENT = len(_ORDER)
"""Where a job stands that needs nobody."""


def urgency(needs: tuple[str, ...]) -> int:
    """Return the sort position of a job with these needs; lower is more urgent."""
    return min((_ORDER.index(need) for need in needs), default=LEAST_URGENT)


def _ranks() -> Iterator[tuple[str, int]]:
    """Yield the urgency of each situation of a job, by the key that the state uses."""
    for quarantines, is_off in product((False, True), repeat=2):
        rest = f"{quarantines:d}{is_off:d}"
        for status in ("never", "complete", "incomplete"):
            standing = None if status == "never" else Standing(status)
            needs = needs_of(standing, quarantines=quarantines, is_off=is_off)
            yield f"{status}00000{rest}", urgency(needs)
        for flags in product((False, True), repeat=5):
            unapproved, stopping, paused, active, dag_paused = flags
            standing = standing_of(
                "open",
                unapproved=unapproved,
                stopping=stopping,
                paused=paused,
                active=active,
                dag_paused=dag_paused,
            )
            needs = needs_of(standing, quarantines=quarantines, is_off=is_off)
            yield f"open{''.join(f'{flag:d}' for flag in flags)}{rest}", urgency(needs)


def _needs(standing: Standing | None, *, quarantines: bool, is_off: bool) -> Iterator[str]:
    if standing in _OF_A_RUN:
        yield _OF_A_RUN[standing]
    if quarantines:
        yield QUARANTINED
    if is_off and standing is not Standing.WAITING:
        yield NOT_BEGUN


RANKS: Mapping[str, int] = dict(_ranks())
"""How urgent each situation of a job is: the state of its run and flags, as statements spell it."""
