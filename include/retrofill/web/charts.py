"""Charts of a run over time: from slices to lines, with the words and the table beside them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from retrofill.engine.outcomes import Outcome
from retrofill.model.pulse import RUNGS_PER_DOUBLING, Slice

WIDTH, HEIGHT = 600, 150
"""The area that lines are drawn in."""

MOST_COLUMNS = 60
MOST_LINES = 4
"""Lines of failures: the most frequent causes; the others are summed up."""

_COLUMN_S = (5, 15, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400)
_REFUSED_FOR_LOAD = (Outcome.THROTTLED, Outcome.STARTING)
_OTHERS = "others"


class Column(NamedTuple):
    """What the calls of a run did in some of its slices, one after another."""

    second: int
    """Where it begins, in seconds of the run."""

    seconds: float
    """How much of it has passed."""

    whole: Slice
    """Their sums."""

    def per_second(self, count: float) -> float:
        """Return a count as a rate."""
        return count / self.seconds

    def percentile_ms(self, share: float) -> float | None:
        """Return in how many milliseconds this share of its calls ended; None: none did."""
        return percentile_ms(self.whole.latency, share)


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    style: int
    """Which of the looks it has: each differs in colour and dashes."""

    path: str
    """In SVG's words."""

    values: Sequence[float | None]


class Chart(NamedTuple):
    """A chart: its lines, and all that says the same without them."""

    key: str
    title: str
    unit: str
    says: str
    """The chart in a sentence."""

    lines: Sequence[Line]
    top: float
    """What the upper end of the area stands for."""

    seconds: Sequence[int]
    """Seconds of the run at which the columns begin."""

    until: float
    """The second of the run at which they end."""


def percentile_ms(latency: Sequence[int], share: float) -> float | None:
    """Return in how many milliseconds a share of calls ended: the middle of its rung."""
    total, passed = sum(latency), 0
    for rung, calls in enumerate(latency):
        passed += calls
        if total and passed >= share * total:
            return float(2 ** ((rung - 0.5) / RUNGS_PER_DOUBLING))
    return None


def columns(slices: Sequence[Slice], age_s: float) -> list[Column]:
    """Return the slices of a run in columns of equal width, those without a slice included.

    :param age_s: the run's age: what belongs to a slice that is not over is not told yet
    """
    over = [one for one in slices if one.second + one.seconds <= age_s + 1]
    if not over:
        return []
    first, end = over[0].second, over[-1].second + over[-1].seconds
    widest = max(one.seconds for one in over)
    width = next(
        (
            seconds
            for seconds in _COLUMN_S
            if seconds >= widest and end - first <= seconds * MOST_COLUMNS
        ),
        _COLUMN_S[-1],
    )
    begin = first // width * width
    parts: list[list[Slice]] = [[] for _ in range(-(-(end - begin) // width))]
    for one in over:
        parts[(one.second - begin) // width].append(one)
    return [
        Column(second, min(width, end - second), _sum(part))
        for second, part in zip(range(begin, end, width), parts, strict=True)
    ]


def charts(slices: Sequence[Slice], age_s: float) -> list[Chart]:
    """Return the charts of a run; none, as long as no slice is over."""
    across = columns(slices, age_s)
    if not across:
        return []
    until = across[-1].second + across[-1].seconds

    def chart(key: str, title: str, unit: str, **lines: Sequence[float | None]) -> Chart:
        known = [value for values in lines.values() for value in values if value is not None]
        top = _round_up(max(known, default=0.0))
        drawn = [
            Line(name.replace("_", " "), style, _path(across, until, values, top), values)
            for style, (name, values) in enumerate(lines.items())
        ]
        says = "; ".join(_say(line, unit) for line in drawn)
        return Chart(key, title, unit, says, drawn, top, [one.second for one in across], until)

    def rate(count: Callable[[Slice], float]) -> list[float]:
        return [one.per_second(count(one.whole)) for one in across]

    found = [
        chart("items", "Items", "a second", items=rate(lambda one: one.succeeded)),
        chart("calls", "Calls", "a second", calls=rate(lambda one: one.calls)),
        chart(
            "flight", "Calls in flight", "at once",
            in_flight=rate(lambda one: one.call_seconds),
            at_most=_held([one.whole for one in across]),
        ),
        chart(
            "latency", "How long calls take", "ms",
            median=[one.percentile_ms(0.5) for one in across],
            p95=[one.percentile_ms(0.95) for one in across],
        ),
    ]  # fmt: skip
    failures = _by_cause(across)
    if failures:
        found.append(chart("failures", "Calls that failed", "a second", **failures))
    refusals = {
        name: rate(lambda one, name=name: one.troubles.get(name, 0))  # type: ignore[misc]
        for name in _REFUSED_FOR_LOAD
        if any(one.whole.troubles.get(name) for one in across)
    }
    if refusals:
        found.append(chart("refusals", "Calls that were refused", "a second", **refusals))
    return found


def _sum(slices: Sequence[Slice]) -> Slice:
    troubles: Counter[str] = Counter()
    latency = [0] * max((len(one.latency) for one in slices), default=0)
    for one in slices:
        troubles.update(one.troubles)
        for rung, calls in enumerate(one.latency):
            latency[rung] += calls
    return Slice(
        slices[0].second if slices else 0,
        sum(one.seconds for one in slices),
        sum(one.calls for one in slices),
        sum(one.succeeded for one in slices),
        sum(one.quarantined for one in slices),
        troubles,
        sum(one.call_seconds for one in slices),
        slices[-1].most_in_flight if slices else -1,
        latency,
    )


def _held(parts: Sequence[Slice]) -> list[float | None]:
    """Return the cap over time: while nobody calls, it is as it was."""
    held: list[float | None] = []
    for one in parts:
        held.append(one.most_in_flight if one.most_in_flight >= 0 else held[-1])
    return held


def _by_cause(across: Sequence[Column]) -> dict[str, list[float | None]]:
    """Return failures a second by cause: the most frequent ones, and the others together."""
    total: Counter[str] = Counter()
    for one in across:
        total.update(one.whole.troubles)
    for name in _REFUSED_FOR_LOAD:
        del total[name]
    names = [name for name, calls in total.most_common() if calls]
    shown = names if len(names) <= MOST_LINES else names[: MOST_LINES - 1]

    def rates(causes: Sequence[str]) -> list[float | None]:
        return [
            one.per_second(sum(one.whole.troubles.get(name, 0) for name in causes))
            for one in across
        ]

    lines = {name: rates([name]) for name in shown}
    if len(names) > len(shown):
        lines[_OTHERS] = rates(names[len(shown) :])
    return lines


def _path(
    across: Sequence[Column], until: float, values: Sequence[float | None], top: float
) -> str:
    """Return a line through the middles of the columns, with a gap where nothing is known."""
    begin = across[0].second
    return " ".join(_moves(across, begin, until - begin, values, top))


def _moves(
    across: Sequence[Column],
    begin: int,
    length: float,
    values: Sequence[float | None],
    top: float,
) -> Iterator[str]:
    for at, (one, value) in enumerate(zip(across, values, strict=True)):
        if value is None:
            continue
        x = WIDTH * (one.second + one.seconds / 2 - begin) / length
        y = HEIGHT * (1 - value / top)
        before, after = (
            0 <= beside < len(values) and values[beside] is not None for beside in (at - 1, at + 1)
        )
        if before or after:
            yield f"{'L' if before else 'M'}{x:.1f} {y:.1f}"
        else:
            # No line goes through one point: where it stands alone, it is as wide as its column.
            half = WIDTH * one.seconds / 2 / length
            yield f"M{x - half:.1f} {y:.1f}H{x + half:.1f}"


def _round_up(most: float) -> float:
    """Return the next number above that people can take in at a look."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= most)


def _say(line: Line, unit: str) -> str:
    known = [value for value in line.values if value is not None]
    if not known:
        return f"{line.name}: nothing"
    last = f", {number(known[-1])} at last" if line.values[-1] is not None else ""
    return f"{line.name} from {number(min(known))} to {number(max(known))} {unit}{last}"


def number(value: float | None) -> str:
    """Return a number with the digits that matter; a dash: nothing is known."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 1 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"
