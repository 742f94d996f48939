"""How many calls may be in flight: as many as the endpoint takes, found by trial.

Additive increase, multiplicative decrease. A *round* is as many ended calls as the window is
wide: about one round trip. Five things differ from the schoolbook, each to refuse less:

* Before the first refusal the window doubles, each round or each second, whichever is sooner:
  a refusal comes at once even where an answer takes minutes, so a quiet second is proof enough.
* A decrease takes a tenth, or as many places as calls of that flight were refused, if these are
  more: what was accepted shows how wide the window may be. Where several tasks share a limit, one
  that is refused for another's probe therefore loses little. Only if half a round has not passed
  since the last decrease, which was not enough then, it takes half.
* The window comes back to just under the width that was refused, half of the way each round, and
  rests there: a probe beyond costs refused calls, so it must be rare, counted in calls.
* Then it grows by 1, 2, 4... each round: a limit that went up is soon found again.
* Where all that was sent was refused, nothing is sent for a moment.

With n tasks that share a limit, each probes 1/n as often, so that together they are throttled no
more than a single task. And they divide what all have found out: on its own, a window that was
refused for another's probe would stay behind.
"""

START = 10
"""Calls in flight to begin with."""

RAMP_S = 1.0
"""Seconds without a refusal that allow a doubling before a whole round has ended."""

REST_ROUNDS = 8
"""Rounds without a refusal before the window grows beyond the width that was refused last."""

REST_CALLS = 50
"""Calls without a refusal before the same: the bound where the window is small."""

GENTLE = 0.9
HARD = 0.5

PAUSE_S = 0.05
"""Seconds to send nothing when all that was sent was refused; they double while it stays so."""

LONGEST_PAUSE_S = 1.0


class ConcurrencyWindow:
    """The number of calls that may be in flight, adapted to refusals.

    It has no clock: times are monotonic seconds, given by the caller, who reports every call
    that was sent and every call that ended. One thread may use it at a time.

    :param ceiling: the most calls in flight at once; 0 holds all calls back
    """

    def __init__(self, ceiling: int, *, now: float) -> None:
        self._ceiling = ceiling
        self._size = START
        self._in_flight = 0
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
        return min(self._size, self._ceiling)

    @property
    def in_flight(self) -> int:
        """How many calls are in flight."""
        return self._in_flight

    @property
    def ceiling(self) -> int:
        """The most calls that may ever be in flight at once; it may be changed at any time."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: int) -> None:
        self._ceiling = ceiling

    @property
    def width(self) -> int | None:
        """The width the endpoint accepts; None until it has throttled a call."""
        return None if self._doubling else self._size

    def agree(self, width: int | None, sharers: int) -> None:
        """Take over what the windows that share the limit agree on.

        :param width: the part of this one; None: there is nothing to agree on
        :param sharers: how many windows share the limit, this one among them
        """
        self._sharers = sharers
        if width is None:
            if self._doubling and not self._peak:
                self._size = max(1, START // sharers)
            return
        # What is known to be accepted moves with the width, and is never below it.
        self._good = max(width, self._good + width - self._size)
        self._size = width
        self._doubling = False

    def room(self, now: float) -> int:
        """Return how many calls may be sent now, 0 or more."""
        if now < self._paused_until:
            return 0
        full = self._in_flight >= self.size
        if full and self._doubling and now - self._grown_at >= RAMP_S:
            self._grow(now)
        return max(0, self.size - self._in_flight)

    def sent(self, calls: int = 1) -> None:
        """Note that calls were sent."""
        self._in_flight += calls
        self._peak = max(self._peak, self._in_flight)

    def ended(self, *, throttled: bool, sent_at: float, now: float) -> None:
        """Note that a call ended.

        :param throttled: whether it was refused for load
        :param sent_at: when it was sent
        """
        self._in_flight -= 1
        if not throttled:
            self._pause_s = PAUSE_S
        elif not self._in_flight:
            self._paused_until = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if sent_at < self._cut_at:
            # Sent before the last decrease, it shows how far that must go, and nothing about the
            # width since.
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
        self._peak = self._in_flight

    def _grow(self, now: float) -> None:
        if self._size >= self._ceiling:
            return
        if self._doubling:
            self._size *= 2
        elif self._size < self._good:
            self._size += max(1, (self._good - self._size) // 2)
        elif self._quiet_rounds >= REST_ROUNDS * self._sharers and self._quiet_calls >= REST_CALLS:
            self._size += self._step
            self._step *= 2
        self._size = min(self._size, self._ceiling)
        self._grown_at = now

    def _shrink(self, now: float) -> None:
        self._flight = max(1, min(self._size, self._peak))
        self._refused = 1
        in_vain = not self._doubling and self._quiet_calls < self._flight // 2
        self._size = int(self._flight * (HARD if in_vain else GENTLE))
        self._narrow()
        self._doubling = False
        self._cut_at = self._grown_at = now
        self._quiet_rounds = self._quiet_calls = 0
        self._step = 1
        self._begin_round()

    def _narrow(self) -> None:
        """Leave no more places than calls of the refused flight were accepted."""
        self._good = max(1, self._flight - self._refused)
        self._size = max(1, min(self._size, self._good))
