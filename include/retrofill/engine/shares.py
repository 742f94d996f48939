"""Shares: what each task of a run may do, so that together they stay within the run's limits.

Tasks ask every second, or less often if there are many. They do so one after the other, under the
lock on the run's row. A task may take only capacity that no other task holds, and keeps it until
its calls end.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from retrofill.engine.causes import CallCount, exceeded
from retrofill.engine.ramp import Ramp, Tally
from retrofill.engine.sharing import Claim, Part, part_of
from retrofill.model.calls import Allotment, Refused
from retrofill.model.cost import dollars
from retrofill.model.limits import Limits

FIRST_ITEMS = 10
"""After this many items a run stops if all of them failed with the same error."""

_ALL = 100


class Standing(NamedTuple):
    """How a run stands when one of its tasks asks."""

    limits: Limits
    stop_reason: str | None = None
    """Why no task may send another call; None: they may."""

    is_late: bool = False
    """Whether ``max_minutes`` have passed."""

    width: int | None = None
    """The total width of all tasks' windows; None: the endpoint has throttled none of them."""

    ramp: Ramp | None = None
    """How far the run's ramp has risen; None: it has none."""

    age_s: float = 0.0
    """Seconds since it was opened, without those that it waited for approval."""

    @property
    def given(self) -> tuple[Limits, str | None, bool]:
        """What users and the clock decide, independent of the run's tasks."""
        return self.limits, self.stop_reason, self.is_late

    def climbed(self, ended: Tally) -> "Standing":
        """Return the standing after more of the run's calls have ended.

        :param ended: those that the asking task has seen end
        """
        limits, full = self.limits, self.limits.most_in_flight
        if limits.ramp_minutes is None or (self.ramp and self.ramp.over):
            return self
        ramp = self.ramp or Ramp.begun(self.age_s, full)
        minutes, paused = limits.ramp_minutes, limits.paused
        return self._replace(
            ramp=ramp.at(self.age_s, ended, full=full, minutes=minutes, paused=paused)
        )

    @property
    def most_in_flight(self) -> int:
        """Calls in flight at once, over all tasks."""
        full = self.limits.most_in_flight
        return self.ramp.most(full) if self.ramp else full

    @property
    def calls_per_second(self) -> float | None:
        """Calls to start per second, over all tasks."""
        limit = self.limits.max_calls_per_second
        if limit is None or self.ramp is None:
            return limit
        return self.ramp.rate(limit, self.limits.most_in_flight)


class Share(NamedTuple):
    """What one batch of the run holds."""

    own: bool
    """Whether it belongs to the task that asks."""

    active: bool
    """Whether it has a holder that renews its lease."""

    wanted: int
    allotted: int
    """Calls that its holder may have in flight or, if it is silent, that may still be running."""

    orphans: int
    """Calls of earlier holders that may still be running."""

    calls_left: int | None
    """Calls that its holder may still make, if calls are limited."""

    width: int | None = None
    """Its window's part of the total width; None: the endpoint has not throttled it."""

    in_flight: int = 0
    """Calls that it had in flight when it last asked."""

    batch_id: int = 0
    calls_per_second: float = 0.0
    """Its part of the run's rate."""

    cost_left: float | None = None
    """Dollars that its calls may still cost, if cost is limited."""

    unsettled: int = 0
    """Calls that its holder has sent and not settled: they may still be refused."""

    uncounted: bool = False
    """Whether its holder is silent, and its calls in flight do not count as lost yet."""


class Totals(NamedTuple):
    """What the run has done, over all its batches."""

    calls: int
    """Calls that were not refused."""

    judged: int
    """Items that succeeded or were blamed."""

    blamed: int
    """Items that failed alone, even if they succeeded later."""

    succeeded: int = 0
    failing_as: str | None = None
    """The error by which all blamed items failed; None or empty: no item, or several errors."""

    answered_s: float | None = None
    """Seconds since a task reported that a call was let through; None: never."""

    cost: float = 0.0
    """The cost of the ended calls, in dollars."""

    refused: int = 0
    """Refused calls, for which the function did not run. ``calls`` does not include them."""


def allot(
    standing: Standing,
    shares: Sequence[Share],
    totals: Totals,
    *,
    wanted: int,
    in_flight: int,
    width: int | None = None,
    refused: Refused | None = None,
    ended: Collection[CallCount] = (),
    least_cost: float = 0.0,
    claims: Sequence[Claim] | None = None,
) -> Allotment:
    """Return what the asking task may do until it asks again.

    :param shares: of all batches that hold anything
    :param wanted: calls that this task could have in flight
    :param in_flight: calls that it has sent and that may still be running
    :param width: the width the endpoint accepts; None: it has not throttled this task
    :param refused: this task's refusals while no call is let through; None: one was
    :param ended: how calls of the run ended, if causes have limits of their own
    :param least_cost: the least cost of one of its calls in dollars; 0: unknown
    :param claims: of other runs on the function's cap; None: the run does not share it
    """
    others = [share for share in shares if not share.own]
    active = [share for share in others if share.active]
    tasks = len(active) + 1
    limits, stop_reason = standing.limits, standing.stop_reason
    calls = _calls(limits, others, totals, wanted, tasks)
    call_cost = max(least_cost, totals.cost / max(totals.calls, 1))
    cost = _cost(limits, others, totals, tasks, call_cost)
    alike = _failing_alike(limits, totals)
    under_way = in_flight or any(share.in_flight for share in active)
    pause_reason = None
    if limits.paused:
        pause_reason = "the run is paused: no call is sent until someone resumes it"
    elif alike and under_way:
        # Calls in flight may take longer to succeed than others took to fail.
        pause_reason = f"{alike}; no call is sent until those in flight have ended"
    if stop_reason is None and wanted > in_flight:
        stop_reason = (
            _stop_reason(standing, shares, totals, calls, cost)
            or exceeded(limits.max_percent_by_cause, ended, limits.min_items_judged)
            or (None if under_way else alike)
            or _refusal(totals, refused)
        )
    # A place is useless without a call and its money, so it is left to other tasks.
    most = wanted if calls is None else min(wanted, in_flight + calls)
    if cost == 0:
        most = min(most, in_flight)
    cap = 0 if pause_reason else standing.most_in_flight
    part = None if claims is None else _part(standing, shares, active, most, claims)
    concurrency = _concurrency(min(cap, part.calls) if part else cap, shares, active, most)
    if part:
        held = sum(share.orphans + (0 if share.own else share.allotted) for share in shares)
        concurrency = max(0, min(concurrency, part.free - held))
    run_width, own_width = _widths(standing.width, shares, wanted, width)
    return Allotment(
        concurrency,
        _rate(standing.calls_per_second, active, concurrency),
        stop_reason,
        calls if calls is None or concurrency else 0,
        cost if cost is None or concurrency else 0.0,
        call_cost,
        tasks,
        run_width,
        own_width,
        pause_reason,
        standing.ramp.line(limits.most_in_flight) if standing.ramp else None,
        part.words if part else None,
        standing.age_s,
        cap,
    )


def out_of_time(max_minutes: int | None) -> str:
    """Return the reason to stop when the run's minutes have passed."""
    return f"max_minutes: {max_minutes:,} minutes have passed since the run was opened"


def _part(
    standing: Standing,
    shares: Sequence[Share],
    active: Sequence[Share],
    wanted: int,
    claims: Sequence[Claim],
) -> Part:
    """Return the run's part of the cap that it shares with other runs of the function."""
    silent = [share for share in shares if not share.own and not share.active]
    own = Claim(
        standing.limits,
        wanted=wanted + sum(share.wanted for share in active),
        held=sum(share.allotted for share in active),
        gone=sum(share.orphans for share in shares) + sum(share.allotted for share in silent),
        ramp=standing.ramp,
        is_stopped=standing.stop_reason is not None,
    )
    return part_of(own, claims)


def _concurrency(cap: int, shares: Sequence[Share], active: Sequence[Share], wanted: int) -> int:
    """Return the calls that may be in flight: a fair part, and more if others need less."""
    cap -= sum(share.orphans for share in shares)
    cap -= sum(share.allotted for share in shares if not share.own and not share.active)
    fair = -(-cap // (len(active) + 1))
    leftover = cap - sum(min(share.wanted, fair) for share in active)
    free = cap - sum(share.allotted for share in active)
    return max(0, min(wanted, max(fair, leftover), free))


def _rate(limit: float | None, active: Sequence[Share], concurrency: int) -> float | None:
    """Return the calls to start per second: a fair part of what no other task has.

    A task that asked and got no place needs none, and does not count as sharing the rate.
    """
    if limit is None:
        return None
    if not concurrency:
        return 0.0
    sharing = sum(bool(share.allotted or not share.wanted) for share in active) + 1
    free = limit - sum(share.calls_per_second for share in active)
    return max(0.0, min(limit / sharing, free))


def _widths(
    run_width: int | None, shares: Sequence[Share], wanted: int, width: int | None
) -> tuple[int | None, int | None]:
    """Return the total width of all windows, and the fair width of the asking task's window.

    The total changes only by what each window has learned since its last allotment. The part of a
    task that ends soon goes to the others; a new task gets a part.
    """
    given = next((share.width for share in shares if share.own), None)
    if width is not None:
        run_width = max(1, (run_width or 0) + width - (given or 0))
    if run_width is None:
        return None, None
    others = [share for share in shares if share.active and not share.own]
    own = next((share.batch_id for share in shares if share.own), 0)
    fair = run_width // (len(others) + 1)
    if wanted <= fair:
        return run_width, None
    held_back = sorted([own, *(share.batch_id for share in others if share.wanted > fair)])
    for_them = run_width - sum(share.wanted for share in others if share.wanted <= fair)
    part, rest = divmod(for_them, len(held_back))
    # As for the cap, a task may take only what no other task uses.
    free = run_width - sum(
        max(min(share.width or 0, share.wanted), share.in_flight) for share in others
    )
    own_width = part + 1 if held_back.index(own) < rest else part
    return run_width, max(1, min(own_width, free))


def _calls(
    limits: Limits, others: Sequence[Share], totals: Totals, wanted: int, tasks: int
) -> int | None:
    """Return the calls that may be made, of those that are neither made nor set aside."""
    if limits.max_calls is None:
        return None
    left = limits.max_calls - totals.calls - sum(share.calls_left or 0 for share in others)
    return max(0, min(wanted, -(-left // tasks)))


def _cost(
    limits: Limits, others: Sequence[Share], totals: Totals, tasks: int, call_cost: float
) -> float | None:
    """Return the dollars that may be spent, of those that are neither spent nor set aside.

    An amount that pays for no call would be useless.

    :param call_cost: the approximate cost of a call; 0: unknown
    """
    if limits.max_cost is None:
        return None
    left = limits.max_cost - totals.cost - sum(share.cost_left or 0.0 for share in others)
    return max(0.0, min(left, max(left / tasks, call_cost)))


def _failing_alike(limits: Limits, totals: Totals) -> str | None:
    """Return that all of the run's first items failed with one error; None: they did not."""
    if limits.max_failure_percent in {None, _ALL} or totals.succeeded:
        return None
    if not totals.failing_as or totals.blamed < FIRST_ITEMS:
        return None
    return f"the first {totals.blamed:,} items all failed alike: {totals.failing_as}"


def _refusal(totals: Totals, refused: Refused | None) -> str | None:
    """Return that every call of every task was refused for too long; None: it was not."""
    if refused is None or refused.for_s <= refused.patience_s:
        return None
    if totals.answered_s is not None and totals.answered_s <= refused.patience_s:
        return None
    return f"every call was refused for {refused.for_s / 60:,.0f} minutes: {refused.reason}"


def _stop_reason(
    standing: Standing,
    shares: Sequence[Share],
    totals: Totals,
    calls: int | None,
    cost: float | None,
) -> str | None:
    """Return which limit of the whole run is reached; None: no limit is."""
    limits = standing.limits
    if standing.is_late:
        return out_of_time(limits.max_minutes)
    # Another task may not use all that it has set aside, and calls in flight may be refused.
    to_come = any(
        share.unsettled or (share.calls_left and not share.own)
        for share in shares
        if share.own or share.active
    )
    if calls == 0 and not to_come:
        refused = f", plus {totals.refused:,} that were refused" if totals.refused else ""
        return f"max_calls: {totals.calls:,} of {limits.max_calls:,} calls were made{refused}"
    unspent = any(share.cost_left for share in shares if share.active and not share.own)
    if limits.max_cost is not None and not cost and not unspent:
        return f"max_cost: {dollars(totals.cost)} of {dollars(limits.max_cost)} were spent"
    percent = limits.max_failure_percent
    if (
        percent is not None
        and totals.judged >= limits.min_items_judged
        and totals.blamed * 100 > totals.judged * percent
    ):
        return (
            f"max_failure_percent: {totals.blamed:,} of {totals.judged:,} items failed, more than"
            f" {percent} %"
        )
    return None
