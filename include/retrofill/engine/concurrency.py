"""The concurrency window: as many calls in flight as the endpoint accepts, found by trial.

Additive increase, multiplicative decrease (AIMD). A *round* is as many ended calls as the window is
wide: about one round trip. Five things differ from the textbook, each to cause fewer refusals:

* Before the first refusal the window doubles, each round or each second, whichever is sooner.
  Refusals arrive at once even if responses take minutes, so a second without one is proof enough.
* A decrease is a tenth, or as many places as calls of that flight were refused, if these are
  more: the accepted calls show how wide the window may be. So a task that is refused because of
  another's probe loses little. A second decrease within half a round takes half, because the first
  was not enough.
* The window returns to just below the refused width, half of the way each round, and rests there.
  A probe beyond it costs refused calls, so it must be rare, counted in calls.
* Then it grows by 1, 2, 4... each round, so that a raised limit is soon found.
* If all calls in flight were refused, it sends nothing for a moment.

With n tasks that share a limit, each probes 1/n as often, so that together they are throttled no
more than a single task. They also share the width that they have found: on its own, a window that
was refused because of another's probe would stay too narrow.
"""

START = 10
"""Calls in flight at the start."""

RAMP_S = 1.0
"""Seconds without a refusal that allow doubling before a whole round has ended."""

REST_ROUNDS = 8
"""Rounds without a refusal before the window grows beyond the last refused width."""

REST_CALLS = 50
"""Calls without a refusal before the same: the bound for a small window."""

GENTLE = 0.9
HARD = 0.5

PAUSE_S = 0.05
"""Seconds to send nothing after all calls were refused; each further time doubles them."""

LONGEST_PAUSE_S = 1.0


class ConcurrencyWindow:
    """The number of calls that may be in flight, adapted to refusals.

    It has no clock: times are monotonic seconds from the caller, who reports every call that was
    sent and every call that ended. Not thread-safe.

    :param ceiling: the most calls in flight at once; 0 holds all calls back
    """

    def __init__(self, ceiling: int, *, now: float) -> None:
        self.ceiling = ceiling
        """The upper limit on calls in flight; it may be changed at any time."""

        self._size = START
        self.in_flight = 0
        self._peak = 0
        self._doubling = True
        self._good = START
        self._grown_at = now
        self._cut_at = -float("inf")
        self._sharers = 1
        self._paused_until = now
        self._pause_s = PAUSE_S
        self._flight = START
        self._refused = 0
        self._quiet_rounds = 0
        self._quiet_calls = 0
        self._ended_in_round = 0
        self._step = 1

    @property
    def size(self) -> int:
        """How many calls may be in flight at once."""
        return min(self._size, self.ceiling)

    @property
    def width(self) -> int | None:
        """The width the endpoint accepts; None until it has throttled a call."""
        return None if self._doubling else self._size

    def agree(self, width: int | None, sharers: int) -> None:
        """Adopt the width that the windows sharing the limit have agreed on.

        :param width: the part of this window; None: there is no agreement
        :param sharers: how many windows share the limit, including this one
        """
        self._sharers = sharers
        if width is None:
            if self._doubling and not self._peak:
                self._size = max(1, START // sharers)
            return
        # The width known to be accepted moves with the window, and is never below it.
        self._good = max(width, self._good + width - self._size)
        self._size = width
        self._doubling = False

    def room(self, now: float) -> int:
        """Return how many calls may be sent now, 0 or more."""
        if now < self._paused_until:
            return 0
        full = self.in_flight >= self.size
        if full and self._doubling and now - self._grown_at >= RAMP_S:
            self._grow(now)
        return max(0, self.size - self.in_flight)

    def sent(self, calls: int = 1) -> None:
        """Record that calls were sent."""
        self.in_flight += calls
        self._peak = max(self._peak, self.in_flight)

    def ended(self, *, throttled: bool, sent_at: float, now: float) -> None:
        """Record that a call ended.

        :param throttled: whether it was refused because of load
        :param sent_at: when it was sent
        """
        self.in_flight -= 1
        if not throttled:
            self._pause_s = PAUSE_S
        elif not self.in_flight:
            self._paused_until = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if sent_at < self._cut_at:
            # It was sent before the last decrease: it shows how far that must go, but nothing about
            # the width since.
            if throttled:
                self._refused += 1
                self._narrow()
            return
        if throttled:
            self._shrink(now)
            return
        self._quiet_calls += 1
        self._ended_in_round += 1
        if self._ended_in_round >= self.size:
            self._end_round(now)

    def _end_round(self, now: float) -> None:
        self._quiet_rounds += 1
        # A window that was never filled proves nothing about a wider one.
        if self._peak >= self.size:
            self._grow(now)
        self._begin_round()

    def _begin_round(self) -> None:
        self._ended_in_round = 0
        self._peak = self.in_flight

    def _grow(self, now: float) -> None:
        if self._size >= self.ceiling:
            return
        if self._doubling:
            self._size *= 2
        elif self._size < self._good:
            self._size += max(1, (self._good - self._size) // 2)
        elif self._quiet_rounds >= REST_ROUNDS * self._sharers and self._quiet_calls >= REST_CALLS:
            self._size += self._step
            self._step *= 2
        self._size = min(self._size, self.ceiling)
        self._grown_at = now

    def _shrink(self, now: float) -> None:
        self._flight = max(1, min(self._size, self._peak))
        self._refused = 1
        too_soon = not self._doubling and self._quiet_calls < self._flight // 2
        self._size = int(self._flight * (HARD if too_soon else GENTLE))
        self._narrow()
        self._doubling = False
        self._cut_at = self._grown_at = now
        self._quiet_rounds = self._quiet_calls = 0
        self._step = 1
        self._begin_round()

    def _narrow(self) -> None:
        """Narrow the window to the number of calls of the refused flight that were accepted."""
        self._good = max(1, self._flight - self._refused)
        self._size = max(1, min(self._size, self._good))
