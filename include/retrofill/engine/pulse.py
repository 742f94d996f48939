"""The pulse of one task: what its calls did, by slices of the run's time.

Slices count from the opening of the run, so those of all tasks fit together. They are short at
first, when people watch most, and longer later, so that a long run has few of them.
"""

from collections import Counter
from collections.abc import Callable
from math import inf, log2

from retrofill.engine.progress import NOTHING, Settled
from retrofill.model.pulse import RUNGS_PER_DOUBLING, Slice

_WIDTHS = ((600, 5), (86_400, 60))
"""The length of slices until a second of the run, both in seconds."""

_WIDEST = 600


def slice_at(age_s: float) -> tuple[int, int]:
    """Return the start and the length of the slice that contains a second of a run."""
    width = next((width for until, width in _WIDTHS if age_s < until), _WIDEST)
    return int(age_s) // width * width, width


def rung_of(took_s: float) -> int:
    """Return the bin of a duration in the latency histogram."""
    took_ms = took_s * 1000
    return 1 + int(RUNGS_PER_DOUBLING * log2(took_ms)) if took_ms >= 1 else 0


class Pulse:
    """Collects the slices of one task. It has no clock: times are monotonic seconds.

    :param total: returns everything that the task has settled so far
    :param now: when the task begins
    """

    def __init__(self, total: Callable[[], Settled], *, now: float) -> None:
        self._total = total
        self._opened_at = -inf
        self._second = self._seconds = 0
        self._ends_at = inf
        self._ticked_at = now
        self._call_seconds = 0.0
        self._most_in_flight = 0
        self._latency = Counter[int]()
        self._before = NOTHING
        self._over: list[Slice] = []

    def took(self, took_s: float) -> None:
        """Count a call that was not refused, by its duration."""
        self._latency[rung_of(took_s)] += 1

    def adopt(self, age_s: float, most_in_flight: int, *, asked_at: float) -> None:
        """Adopt what an allotment reports about the run.

        :param age_s: the run's age, read after ``asked_at``
        :param most_in_flight: how many of its calls may be in flight
        """
        # Each response is late. The one with the least delay is the most accurate.
        self._opened_at = max(self._opened_at, asked_at - age_s)
        self._most_in_flight = most_in_flight
        if self._ends_at == inf:
            self._begin(asked_at)

    def tick(self, now: float, in_flight: int) -> None:
        """Advance the time. Until now, this many calls were in flight."""
        self._call_seconds += in_flight * (now - self._ticked_at)
        self._ticked_at = now
        if now >= self._ends_at:
            self._end()
            self._begin(now)

    def take(self) -> list[Slice]:
        """Return the slices that are over, each only once."""
        over, self._over = self._over, []
        return over

    def take_all(self, now: float, in_flight: int) -> list[Slice]:
        """Return the same at the end of the task, including the slice that is not over."""
        self.tick(now, in_flight)
        self._end()
        return self.take()

    def _begin(self, now: float) -> None:
        # The opening of the run may have moved since the last slice; no slice may come twice.
        after = self._second + self._seconds
        self._second, self._seconds = slice_at(max(after, now - self._opened_at))
        self._ends_at = self._opened_at + self._second + self._seconds

    def _end(self) -> None:
        total = self._total()
        new, self._before = total.since(self._before), total
        calls = new.outcomes.total()
        call_seconds, self._call_seconds = self._call_seconds, 0.0
        latency, self._latency = self._latency, Counter()
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
                [latency[rung] for rung in range(max(latency, default=-1) + 1)],
            )
            self._over.append(ended)
