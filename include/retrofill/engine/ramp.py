"""The slow start of a run: how many of its calls may be in flight, and what holds it back.

A ramp rises from :data:`FIRST_CALLS` to the run's full concurrency, by the same factor each time,
and the run's rate with it. On the way the calls are evaluated :data:`STEPS` times. Each such *look*
is compared with the first ones: with the shorter p95, because calls of a cold function are slow,
and with the larger share of failures. A worse look holds the ramp, and another one after it halves
it: after a rise the function may be cold, which soon passes. If a look is no better with as few
calls as at first, their number is not the reason: later looks are compared with this one, so that
large items, or many bad ones, do not hold the run back permanently.

No look is taken before enough calls have ended. So the ramp of a slow function may take longer than
planned; it then catches up, at most doubling each time.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, replace

from retrofill.engine.outcomes import REFUSED, Outcome
from retrofill.model.stored import Stored

FIRST_CALLS = 2
"""Calls in flight at the start."""

STEPS = 20
"""How many looks a ramp takes."""

FIRST_LOOKS = 2
"""Looks with which later ones are compared."""

MIN_CALLS = 20
"""Calls that must have ended for a look: the fewest of which a twentieth is one."""

SLOWER = 2.0
"""How many times the first p95 a later one may be."""

SLOWER_MS = 100.0
"""How much longer than the first p95 a later one may always be: short calls vary most."""

FAILING_POINTS = 10.0
"""By how many percentage points more calls may fail than at first."""

_RATIO = 1.1
"""The ratio of neighbouring durations that are distinguished."""

_P95 = 0.95


@dataclass(slots=True)
class Tally:
    """Calls that ended since the tally was last taken."""

    calls: int = 0
    failed: int = 0
    """Those that did not succeed, including refused ones."""

    took: dict[int, int] = field(default_factory=dict)
    """Those that were not refused, by duration: in powers of _RATIO ms."""

    def ended(self, outcome: str, took_s: float) -> None:
        """Count a call."""
        self.calls += 1
        if outcome != Outcome.SUCCEEDED:
            self.failed += 1
        if outcome not in REFUSED:
            power = round(math.log(max(1.0, took_s * 1000), _RATIO))
            self.took[power] = self.took.get(power, 0) + 1

    def __add__(self, other: "Tally") -> "Tally":
        took = dict(Counter(self.took) + Counter(other.took))
        return Tally(self.calls + other.calls, self.failed + other.failed, took)

    def look(self) -> "Look":
        """Return how the calls ended; there must be at least one."""
        return Look(100 * self.failed / self.calls, self._p95_ms())

    def _p95_ms(self) -> float:
        rank = math.ceil(_P95 * sum(self.took.values()))
        for power in sorted(self.took):
            rank -= self.took[power]
            if rank <= 0:
                return float(_RATIO**power)
        return 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """How the calls of a run ended in some period."""

    failed_percent: float
    """The percentage of calls that did not succeed."""

    p95_ms: float
    """Milliseconds in which 95 of 100 calls ended; 0: all were refused."""

    def widened(self, other: "Look") -> "Look":
        """Return the standard for later looks, if this look and another come first."""
        known = [p95_ms for p95_ms in (self.p95_ms, other.p95_ms) if p95_ms]
        return Look(max(self.failed_percent, other.failed_percent), min(known, default=0.0))

    def worse(self, seen: "Look") -> str:
        """Return how a later look is worse than this one; empty: it is not."""
        if self.p95_ms and seen.p95_ms > max(SLOWER * self.p95_ms, self.p95_ms + SLOWER_MS):
            return f"p95 rose from {self.p95_ms:,.0f} to {seen.p95_ms:,.0f} ms"
        if seen.failed_percent > self.failed_percent + FAILING_POINTS:
            return (
                f"calls that did not succeed rose from {self.failed_percent:.0f}"
                f" to {seen.failed_percent:.0f} %"
            )
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp(Stored):
    """The progress of a run's ramp. Times are the run's age in seconds."""

    level: float
    """Calls that may be in flight."""

    rose_from: float
    since_s: float
    """When it began to rise from there: at first, or after it was last held back."""

    looked_s: float
    looks: int = 0
    tally: Tally = field(default_factory=Tally)
    """Calls that ended since the last look."""

    first: Look | None = None
    """What looks are compared with; None: there was none yet."""

    held: int = 0
    """How many looks in a row were worse."""

    why: str = ""
    """What was worse in the last of them; empty: the ramp rises."""

    over: bool = False
    """Whether the run was at full concurrency for a whole look, without trouble."""

    @classmethod
    def begun(cls, now_s: float, full: int) -> "Ramp":
        """Return a ramp at its start."""
        level = _lowest(full)
        return cls(level=level, rose_from=level, since_s=now_s, looked_s=now_s)

    def at(self, now_s: float, ended: Tally, *, full: int, minutes: int, paused: bool) -> "Ramp":
        """Return the ramp as it is now.

        :param ended: calls that ended since the last time
        :param full: calls that may be in flight at its end
        :param minutes: how long it should take to rise to that
        :param paused: whether nothing may be sent; then it restarts from where it is
        """
        ramp = replace(self, tally=self.tally + ended) if ended.calls else self
        if paused:
            return ramp.restarted(now_s)
        due_s = self.looked_s + minutes * 60 / STEPS
        if now_s < due_s or ramp.tally.calls < MIN_CALLS:
            return ramp
        seen, first = ramp.tally.look(), self.first or ramp.tally.look()
        if self.looks < FIRST_LOOKS or not first.p95_ms:
            first = first.widened(seen)
        ramp = replace(ramp, looked_s=now_s, looks=self.looks + 1, tally=Tally(), first=first)
        why = first.worse(seen) if self.looks >= FIRST_LOOKS else ""
        if why:
            return ramp.held_back(now_s, seen, why, full)
        passed = (now_s - self.since_s) / (minutes * 60)
        risen = self.rose_from * (full / _lowest(full)) ** passed
        level = min(risen, 2 * self.level, full)
        return replace(ramp, level=level, held=0, why="", over=self.level >= full)

    def most(self, full: int) -> int:
        """Return how many calls may be in flight."""
        return full if self.over else min(full, round(self.level))

    def rate(self, limit: float, full: int) -> float:
        """Return the calls that may be started per second."""
        return limit if self.over else rate_at(self.level, limit, full)

    def line(self, full: int) -> str | None:
        """Return how far the ramp has risen, for people; None: it is over."""
        if self.over:
            return None
        held = f"; held back because {self.why}" if self.why else ""
        return f"ramp: at most {self.most(full):,} of {full:,} calls in flight{held}"

    def held_back(self, now_s: float, seen: Look, why: str, full: int) -> "Ramp":
        """Return the ramp after a worse look."""
        ramp = replace(self.restarted(now_s), held=self.held + 1, why=why)
        if not self.held:
            return ramp
        if self.level <= _lowest(full):
            return replace(ramp, first=seen, held=0, why="")
        level = max(_lowest(full), self.level / 2)
        return replace(ramp, level=level, rose_from=level)

    def restarted(self, now_s: float) -> "Ramp":
        """Return the ramp as it rises from where it is."""
        return replace(self, rose_from=self.level, since_s=now_s)


def rising_s(calls: float, each_s: float, *, full: int, minutes: int, rate: float | None) -> float:
    """Return the seconds after which an undisturbed ramp has completed this many calls.

    :param each_s: how long a call occupies its place
    :param rate: calls that the run may start per second at the end; None: no limit
    """
    lowest, given_s, now_s = _lowest(full), minutes * 60, 0.0
    level = lowest
    while True:
        by_places = level / each_s if each_s else math.inf
        by_rate = math.inf if rate is None else rate_at(level, rate, full)
        per_second = min(by_places, by_rate)
        step_s = max(given_s / STEPS, MIN_CALLS / per_second)
        if level >= full or calls <= per_second * step_s:
            return now_s + calls / per_second
        calls -= per_second * step_s
        now_s += step_s
        level = min(lowest * (full / lowest) ** (now_s / given_s), 2 * level, full)


def rate_at(level: float, limit: float, full: int) -> float:
    """Return the calls to start per second on a ramp, in proportion to the calls in flight.

    A low rate would otherwise allow no call for minutes, and none to evaluate.
    """
    return min(limit, max(float(FIRST_CALLS), limit * level / full))


def _lowest(full: int) -> float:
    return float(min(FIRST_CALLS, full))
