"""The pulse of one task: what its calls do, summed up in memory by slices of the run's time.

Slices are of the run's time, not of the task's: so the sums of all tasks fit together. They are
short at first, when people look most, and longer in a long run, of which there would be too many.
"""

from collections.abc import Callable
from math import inf, log2

from retrofill.engine.progress import NOTHING, Seen
from retrofill.model.pulse import RUNGS_PER_DOUBLING, Slice

_WIDTHS = ((600, 5), (86_400, 60))
"""Until which second of a run slices are how long."""

_WIDEST = 600


def slice_at(age_s: float) -> tuple[int, int]:
    """Return where the slice begins that holds a second of a run, and how long it is."""
    width = next((width for until, width in _WIDTHS if age_s < until), _WIDEST)
    return int(age_s) // width * width, width


def rung_of(took_s: float) -> int:
    """Return the place of a duration in the latency histogram."""
    took_ms = took_s * 1000
    return 1 + int(RUNGS_PER_DOUBLING * log2(took_ms)) if took_ms >= 1 else 0


class Pulse:
    """What the calls of one task do. Times are monotonic seconds, given by the caller.

    :param seen: returns all that the task has seen so far; asked when a slice is over
    :param now: when the task begins
    """

    def __init__(self, seen: Callable[[], Seen], *, now: float) -> None:
        self._seen = seen
        self._opened_at = -inf
        self._second = self._seconds = 0
        self._ends_at = inf
        self._ticked_at = now
        self._call_seconds = 0.0
        self._most_in_flight = 0
        self._latency: dict[int, int] = {}
        self._before = NOTHING
        self._over: list[Slice] = []

    def took(self, took_s: float) -> None:
        """Count a call that was not refused by how long it took."""
        rung = rung_of(took_s)
        self._latency[rung] = self._latency.get(rung, 0) + 1

    def tell(self, age_s: float, most_in_flight: int, *, asked_at: float) -> None:
        """Take over what the run has told.

        :param age_s: its age, told after ``asked_at``
        :param most_in_flight: how many of its calls may be in flight
        """
        # Each answer comes late: the one that came least late is nearest to the truth.
        self._opened_at = max(self._opened_at, asked_at - age_s)
        self._most_in_flight = most_in_flight
        if self._ends_at == inf:
            self._begin(asked_at)

    def tick(self, now: float, in_flight: int) -> None:
        """Pass the time until now, in which so many calls were in flight."""
        self._call_seconds += in_flight * (now - self._ticked_at)
        self._ticked_at = now
        if now >= self._ends_at:
            self._end()
            self._begin(now)

    def take(self) -> list[Slice]:
        """Return the slices that are over, and forget them."""
        over, self._over = self._over, []
        return over

    def take_all(self, now: float, in_flight: int) -> list[Slice]:
        """Do the same at the end of the task, with what there is of the last slice."""
        self.tick(now, in_flight)
        self._end()
        return self.take()

    def _begin(self, now: float) -> None:
        # What was told since may have moved the beginning of the run: no slice comes twice.
        after = self._second + self._seconds
        self._second, self._seconds = slice_at(max(after, now - self._opened_at))
        self._ends_at = self._opened_at + self._second + self._seconds

    def _end(self) -> None:
        seen = self._seen()
        new, self._before = seen.since(self._before), seen
        calls = new.outcomes.total()
        call_seconds, self._call_seconds = self._call_seconds, 0.0
        latency, self._latency = self._latency, {}
        if calls or new.succeeded or new.quarantined or call_seconds:
            ended = Slice(
                self._second,
                self._seconds,
                calls,
                new.succeeded,
                new.quarantined,
                dict(new.troubles),
                call_seconds,
                self._most_in_flight,
                [latency.get(rung, 0) for rung in range(max(latency, default=-1) + 1)],
            )
            self._over.append(ended)
