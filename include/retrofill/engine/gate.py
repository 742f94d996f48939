"""The gate: whether calls may be sent now, given all limits on a task's calls.

Four things limit them: the task's share of the run (:mod:`retrofill.engine.shares`), including the
calls and the money that are left; the calls in flight that the endpoint accepts
(:mod:`retrofill.engine.concurrency`); the rate (:mod:`retrofill.engine.rate`); and the lease.
"""

import math

from retrofill.engine.concurrency import ConcurrencyWindow
from retrofill.engine.rate import RateLimit
from retrofill.model.calls import Allotment

ASK_EVERY_S = 1.0
"""Seconds between two requests for an allotment, with few active tasks, and between two checks
whether someone has changed it."""

FEW_TASKS = 10
"""The maximum number of tasks that ask this often: they take turns, under a lock."""


def ask_every_s(tasks: int) -> float:
    """Return the seconds between two requests of each of n active tasks.

    Four times as many tasks ask twice as often: 10 times per second for 10 tasks, 45 for 200.
    """
    return ASK_EVERY_S * math.sqrt(max(1.0, tasks / FEW_TASKS))


class Gate:
    """What one task may send. It has no clock: times are monotonic seconds from the caller.

    It is closed until the first allotment.
    """

    def __init__(self, *, now: float) -> None:
        self._window = ConcurrencyWindow(0, now=now)
        self._rate = RateLimit(None, now=now)
        self.allotment = Allotment(0, None, None)
        """What the run allows until the next one."""

        self._calls_left: float = 0
        self._cost_left: float = 0
        self._cost = 0.0
        self._costly_calls = 0
        self._asks_at = now
        self._looks_at = now
        self._valid_until = now
        self._peak = 0

    @property
    def width(self) -> int | None:
        """The width the endpoint accepts; None until it has throttled a call."""
        return self._window.width

    def must_ask(self, now: float) -> bool:
        """Return whether it is time to ask for another allotment."""
        return now >= self._asks_at

    def must_look(self, now: float) -> bool:
        """Return whether it is time to check if someone has changed the allotment."""
        return now >= self._looks_at

    def looked(self, now: float) -> None:
        """Record that nobody has changed it."""
        self._looks_at = now + ASK_EVERY_S

    def wants(self, wanted: int, running: int) -> int:
        """Return how many calls to ask for, out of those that could be made.

        If runs share a cap, capacity that a task cannot use, for example because of its rate, goes
        to others. The task asks for all of it again once it uses half of what it has.

        :param running: as for :meth:`room`
        """
        peak, self._peak = max(self._peak, running), 0
        if self.allotment.part is None or 2 * peak >= self.allotment.concurrency:
            return wanted
        return min(wanted, 2 * peak + 1)

    def ask_soon(self) -> None:
        """Ask for another allotment in the next turn."""
        self._asks_at = -math.inf

    def grant(self, allotment: Allotment, *, asked_at: float, valid_until: float) -> None:
        """Adopt what the run allows from now on.

        :param valid_until: when the allotment ends without a new one: the lease may be lost then
        """
        self.allotment = allotment
        self._calls_left = math.inf if allotment.calls is None else allotment.calls
        self._cost_left = math.inf if allotment.cost is None else allotment.cost
        self._window.agree(allotment.width, allotment.tasks)
        self._window.ceiling = allotment.concurrency
        self._rate.set(allotment.calls_per_second, asked_at)
        self._asks_at = asked_at + ask_every_s(allotment.tasks)
        self.looked(asked_at)
        self._valid_until = valid_until

    def room(self, running: int, now: float) -> int:
        """Return how many calls may be sent now.

        :param running: calls that may be running: in flight, or cut off before their timeout
        """
        return self._rate.room(self._places(running, now), now)

    def wait_s(self, running: int, due_in: float | None, now: float) -> float:
        """Return the seconds until the next request, check or call, whichever is first.

        :param running: as for :meth:`room`
        :param due_in: seconds until the next call can be sent; None: no call waits
        """
        until_ask = max(0.0, min(self._asks_at, self._looks_at) - now)
        if due_in is None or not self._places(running, now):
            return until_ask
        return min(until_ask, max(due_in, self._rate.next_in(now)))

    def sent(self, calls: int) -> None:
        """Record that calls were sent."""
        self._window.sent(calls)
        self._rate.started(calls)
        self._calls_left -= calls

    def ended(self, *, throttled: bool, sent_at: float, now: float, cost: float = 0.0) -> None:
        """Record that a call ended, and its cost; see :meth:`ConcurrencyWindow.ended`."""
        if cost:
            self._cost += cost
            self._costly_calls += 1
            self._cost_left -= cost
        self._window.ended(throttled=throttled, sent_at=sent_at, now=now)

    def _places(self, running: int, now: float) -> int:
        """Return how many calls may be sent now, without the limit on their rate."""
        self._peak = max(self._peak, running)
        if now > self._valid_until:
            return 0
        free = self.allotment.concurrency - running
        places = min(self._window.room(now), free, self._calls_left, self._affordable(running))
        return max(0, int(places))

    def _affordable(self, running: int) -> float:
        """Return how many calls the remaining money is likely to pay for.

        Running calls are expected to cost what others have cost, as far as that is known. While any
        money is left, one call may be sent.
        """
        if self._cost_left == math.inf or self._cost_left <= 0:
            return max(self._cost_left, 0)
        each = self._cost / self._costly_calls if self._costly_calls else self.allotment.call_cost
        if not each:
            return math.inf
        return max(self._cost_left / each - running, 0 if running else 1)
