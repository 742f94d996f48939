"""Sharing: how the runs of one function divide its limit of concurrent calls.

The runs with ``function_concurrency`` share it by priority. What one does not use goes to the
others. Each of their tasks asks every second, one after the other, under the lock on the function.
As within a run, a task may take only capacity that nobody holds, and keeps it until its calls end.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from retrofill.engine.ramp import Ramp
from retrofill.model.limits import Limits

_HALVINGS = 40


class Claim(NamedTuple):
    """What one run of the function has, and could use."""

    limits: Limits
    wanted: int
    """Calls that its tasks could have in flight."""

    held: int
    """Calls that they may have in flight."""

    gone: int
    """Calls that may still be running, but whose task is silent or gone."""

    ramp: Ramp | None = None
    is_open: bool = True
    is_stopped: bool = False
    run_id: int = 0

    @property
    def shares(self) -> bool:
        """Whether it is limited by the cap. Other runs count towards it, but get no part of it."""
        return self.is_open and self.limits.function_concurrency is not None

    @property
    def most(self) -> int:
        """The most calls that it could use."""
        if self.limits.paused or self.is_stopped:
            return self.gone
        full = self.limits.most_in_flight
        return min(self.wanted + self.gone, self.ramp.most(full) if self.ramp else full)


class Part(NamedTuple):
    """One run's part of the cap."""

    calls: int
    """Calls that it is entitled to have in flight, including those whose task is gone."""

    free: int
    """Calls of the cap that no other run holds."""

    words: str


def part_of(own: Claim, others: Sequence[Claim]) -> Part:
    """Return what a run may have in flight of the cap that it shares.

    :param others: of all other runs of the function that are open or may have calls running
    """
    sharing = [own, *(claim for claim in others if claim.shares)]
    lowest = min(sharing, key=lambda claim: claim.limits.function_concurrency or 0)
    cap = lowest.limits.function_concurrency or 0
    outside = sum(claim.held + claim.gone for claim in others if not claim.shares)
    weights = [(claim.most, claim.limits.priority) for claim in sharing]
    calls, *_ = divide(max(0, cap - outside), weights)
    free = cap - sum(claim.held + claim.gone for claim in others)
    return Part(calls, free, "; ".join(_words(cap, calls, lowest, sharing, outside)))


def _words(
    cap: int, calls: int, lowest: Claim, sharing: Sequence[Claim], outside: int
) -> list[str]:
    own, *others = sharing
    said = [f"function_concurrency: up to {calls:,} of {cap:,} calls in flight"]
    if others:
        run_ids = ", ".join(str(other.run_id) for other in others)
        runs = f"run {run_ids}" if len(others) == 1 else f"runs {run_ids}"
        said[0] += f" at priority {own.limits.priority:,}, shared with {runs}"
    if cap != own.limits.function_concurrency:
        said.append(f"{cap:,} is the lowest, set by run {lowest.run_id}")
    if outside:
        said.append(f"{outside:,} are held by closed runs, or runs without this limit")
    return said


def divide(places: int, claims: Sequence[tuple[int, int]]) -> list[int]:
    """Return how many places each claim gets.

    Places are given one by one to the claim that has the least for its weight and wants more. Each
    claim gets one place before any gets many, and unused places go to the others.

    :param claims: for each, how many it wants, and its weight
    """
    if sum(wanted for wanted, _ in claims) <= places:
        return [wanted for wanted, _ in claims]

    def at(level: float) -> list[int]:
        return [min(wanted, ceil(level * weight)) for wanted, weight in claims]

    low, high = 0.0, max(wanted / weight for wanted, weight in claims)
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        low, high = (level, high) if sum(at(level)) <= places else (low, level)
    given = at(low)
    for _ in range(places - sum(given)):
        unmet = [no for no, (wanted, _) in enumerate(claims) if given[no] < wanted]
        least = min(unmet, key=lambda no: (given[no] / claims[no][1], -claims[no][1]))
        given[least] += 1
    return given
