"""The rate: how many calls may start now if a run limits its calls per second."""

import math

BURST_S = 0.1
"""After a pause, the calls of this many seconds may start at once."""


class RateLimit:
    """A token bucket without a clock: times are monotonic seconds from the caller.

    :param per_second: calls that may start per second; 0: none at all; None: no limit
    """

    def __init__(self, per_second: float | None, *, now: float) -> None:
        self._per_second = per_second
        self._tokens = 1.0
        self._filled_at = now

    def set(self, per_second: float | None, now: float) -> None:
        """Change the limit from now on."""
        self._fill(now)
        self._per_second = per_second

    def room(self, wanted: int, now: float) -> int:
        """Return how many of the wanted calls may start now."""
        if self._per_second is None:
            return wanted
        self._fill(now)
        return min(wanted, int(self._tokens))

    def started(self, calls: int) -> None:
        """Record that calls started."""
        self._tokens = max(0.0, self._tokens - calls)

    def next_in(self, now: float) -> float:
        """Return the seconds until a call may start; 0: now."""
        if self._per_second is None:
            return 0.0
        self._fill(now)
        missing = max(0.0, 1.0 - self._tokens)
        if not self._per_second:
            return math.inf if missing else 0.0
        return missing / self._per_second

    def _fill(self, now: float) -> None:
        if self._per_second is not None:
            most = max(1.0, self._per_second * BURST_S)
            grown = self._tokens + self._per_second * (now - self._filled_at)
            self._tokens = min(most, grown)
        self._filled_at = now
