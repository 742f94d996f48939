"""The admission check: whether a plan fits the limits of the run, the function and Airflow."""

from typing import NamedTuple

from retrofill.functions.kind import Capacity
from retrofill.model.amounts import counted, in_bytes
from retrofill.model.limits import Limits
from retrofill.model.plan import Check, Counts

# Bytes per row with indexes, as measured with keys of 60 bytes.
_RESULT_BYTES = 350
_WAITING_BYTES = 240  # in the in-process cache, without content
_CALL_BYTES = 390  # until maintenance deletes it


class Slots(NamedTuple):
    """Airflow's limits on the tasks of a DAG run."""

    parallelism: int
    max_active_tasks: int
    pool: str

    @property
    def at_once(self) -> int:
        """How many tasks may run at once; the slots of the pool are unknown."""
        return min(self.parallelism, self.max_active_tasks)


def admission(
    counts: Counts,
    limits: Limits,
    *,
    timeout_s: int,
    slots: Slots,
    capacity: Capacity | None,
    database_bytes: int,
) -> list[Check]:
    """Return the checks of a plan.

    :param timeout_s: the function's timeout
    :param capacity: how many calls the function accepts at once; None: unknown
    :param database_bytes: the current size of the state's database
    """
    return [
        _concurrency(limits, capacity),
        *([] if limits.max_calls is None else [_calls(counts, limits.max_calls)]),
        _time(counts, limits, timeout_s),
        _slots(counts, slots),
        _state(counts, database_bytes),
    ]


def _concurrency(limits: Limits, capacity: Capacity | None) -> Check:
    asked = f"{counted(limits.most_in_flight, 'call')} in flight"
    if capacity is None:
        return Check("concurrency", f"{asked}; the function's limit is unknown", None)
    passed = limits.most_in_flight <= capacity.calls
    return Check("concurrency", f"{asked}; {capacity.calls:,} {capacity.words}", passed)


def _calls(counts: Counts, most: int) -> Check:
    says = f"{counted(counts.calls, 'call')}, without retries; at most {most:,}"
    # Further sets have calls, too.
    passed = None if counts.calls <= most and not counts.is_all else counts.calls <= most
    return Check("max_calls", says, passed)


def _time(counts: Counts, limits: Limits, timeout_s: int) -> Check:
    in_flight = max(1, min(counts.calls, limits.most_in_flight))
    minutes = counts.calls * timeout_s / in_flight / 60
    says = f"if each call took its timeout, {timeout_s:,} s, this set would take {minutes:,.0f} min"
    if limits.max_minutes is None:
        return Check("time", f"{says}; max_minutes is not set", True)  # noqa: FBT003  it is a field
    passed = True if minutes <= limits.max_minutes and counts.is_all else None
    return Check("time", f"{says}; max_minutes is {limits.max_minutes:,}", passed)


def _slots(counts: Counts, slots: Slots) -> Check:
    waits = "" if counts.batches <= slots.at_once else "; the others wait for a slot"
    batches = counted(counts.batches, "batch", "batches")
    return Check(
        "Airflow slots",
        f"{batches}; up to {slots.at_once:,} at once, by parallelism"
        f" {slots.parallelism:,} and max_active_tasks {slots.max_active_tasks:,}; the slots of"
        f" the pool {slots.pool} are unknown{waits}",
        None if slots.at_once else False,
    )


def _state(counts: Counts, database_bytes: int) -> Check:
    waiting = counts.items * _WAITING_BYTES
    left = counts.items * _RESULT_BYTES + counts.calls * _CALL_BYTES
    return Check(
        "disk of the state",
        f"the items take about {in_bytes(waiting)} without their contents, and leave up to about"
        f" {in_bytes(left)} with their calls; the database has {in_bytes(database_bytes)} now, and"
        " Postgres does not report the free space",
        None,
    )
