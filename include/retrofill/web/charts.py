"""Charts of a run over time: lines, and the same data as a sentence and a table."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from retrofill.engine.outcomes import Outcome
from retrofill.model.pulse import RUNGS_PER_DOUBLING, Slice

WIDTH, HEIGHT = 600, 150
"""The size of the area for lines."""

MOST_COLUMNS = 60
MOST_LINES = 4
"""Lines for failures: one per frequent cause, and one for all other causes."""

_COLUMN_S = (5, 15, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400)
_REFUSED_FOR_LOAD = (Outcome.THROTTLED, Outcome.STARTING)


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    style: int
    """The number of its style: a colour and a dash pattern."""

    path: str
    """The ``d`` attribute of an SVG path."""

    values: Sequence[float | None]


class Chart(NamedTuple):
    """A chart: its lines, and the same data as text."""

    key: str
    title: str
    unit: str
    summary: str
    """The chart in a sentence."""

    lines: Sequence[Line]
    top: float
    """The value at the top of the area."""

    seconds: Sequence[int]
    """The start of each column, in seconds of the run."""

    until: float
    """The end of the last column, in seconds of the run."""


def percentile_ms(latency: Sequence[int], share: float) -> float | None:
    """Return the duration within which a share of calls ended: the middle of its rung.

    :param latency: calls by rung
    :returns: None: no calls ended
    """
    total, passed = sum(latency), 0
    for rung, calls in enumerate(latency):
        passed += calls
        if total and passed >= share * total:
            return float(2 ** ((rung - 0.5) / RUNGS_PER_DOUBLING))
    return None


def columns(slices: Sequence[Slice], age_s: float) -> list[Slice]:
    """Return the slices of a run summed up in columns of equal width, without gaps.

    :param age_s: the age of the run: a slice that is not over is left out, because it may change
    """
    over = [one for one in slices if one.second + one.seconds <= age_s + 1]
    if not over:
        return []
    first, end = over[0].second, over[-1].second + over[-1].seconds
    widest = max(one.seconds for one in over)
    fitting = (s for s in _COLUMN_S if s >= widest and end - first <= s * MOST_COLUMNS)
    width = next(fitting, _COLUMN_S[-1])
    begin = first // width * width
    parts: list[list[Slice]] = [[] for _ in range(begin, end, width)]
    for one in over:
        parts[(one.second - begin) // width].append(one)
    return [
        _sum(part, second, min(width, end - second))
        for second, part in zip(range(begin, end, width), parts, strict=True)
    ]


def charts(slices: Sequence[Slice], age_s: float) -> list[Chart]:
    """Return the charts of a run; empty until its first slice is over."""
    across = columns(slices, age_s)
    if not across:
        return []

    def chart(key: str, title: str, unit: str, **lines: Sequence[float | None]) -> Chart:
        known = [value for values in lines.values() for value in values if value is not None]
        top = _round_up(max(known, default=0.0))
        drawn = [
            Line(name.replace("_", " "), style, " ".join(_moves(across, values, top)), values)
            for style, (name, values) in enumerate(lines.items())
        ]
        summary = "; ".join(_say(line, unit) for line in drawn)
        until = across[-1].second + across[-1].seconds
        return Chart(key, title, unit, summary, drawn, top, [one.second for one in across], until)

    def rate(count: Callable[[Slice], float]) -> list[float]:
        return [count(one) / one.seconds for one in across]

    def failing(*causes: str) -> list[float]:
        return rate(lambda one: sum(one.troubles.get(cause, 0) for cause in causes))

    found = [
        chart("items", "Items", "a second", items=rate(lambda one: one.succeeded)),
        chart("calls", "Calls", "a second", calls=rate(lambda one: one.calls)),
        chart(
            "flight", "Calls in flight", "at once",
            in_flight=rate(lambda one: one.call_seconds),
            at_most=_caps(across),
        ),
        chart(
            "latency", "How long calls take", "ms",
            median=[percentile_ms(one.latency, 0.5) for one in across],
            p95=[percentile_ms(one.latency, 0.95) for one in across],
        ),
    ]  # fmt: skip
    troubles = sum((Counter(one.troubles) for one in across), Counter[str]())
    refusals = {name: failing(name) for name in _REFUSED_FOR_LOAD if troubles.pop(name, 0)}
    names = [name for name, _ in troubles.most_common()]
    shown = names if len(names) <= MOST_LINES else names[: MOST_LINES - 1]
    failures = {name: failing(name) for name in shown}
    if len(names) > len(shown):
        failures["others"] = failing(*names[len(shown) :])
    if failures:
        found.append(chart("failures", "Calls that failed", "a second", **failures))
    if refusals:
        found.append(chart("refusals", "Calls that were refused", "a second", **refusals))
    return found


def _sum(slices: Sequence[Slice], second: int, seconds: int) -> Slice:
    return Slice(
        second,
        seconds,
        sum(one.calls for one in slices),
        sum(one.succeeded for one in slices),
        sum(one.quarantined for one in slices),
        sum((Counter(one.troubles) for one in slices), Counter[str]()),
        sum(one.call_seconds for one in slices),
        slices[-1].most_in_flight if slices else -1,
        [sum(rung) for rung in zip_longest(*(one.latency for one in slices), fillvalue=0)],
    )


def _caps(parts: Sequence[Slice]) -> list[float | None]:
    """Return the limit of calls in flight over time; without calls, it stays as it was."""
    caps: list[float | None] = []
    for one in parts:
        caps.append(one.most_in_flight if one.most_in_flight >= 0 else caps[-1])
    return caps


def _moves(across: Sequence[Slice], values: Sequence[float | None], top: float) -> Iterator[str]:
    """Yield the steps of a line through the middle of each column, with gaps for unknowns."""
    begin = across[0].second
    length = across[-1].second + across[-1].seconds - begin
    for at, (one, value) in enumerate(zip(across, values, strict=True)):
        if value is None:
            continue
        x = WIDTH * (one.second + one.seconds / 2 - begin) / length
        y = HEIGHT * (1 - value / top)
        before, after = (
            0 <= near < len(values) and values[near] is not None for near in (at - 1, at + 1)
        )
        if before or after:
            yield f"{'L' if before else 'M'}{x:.1f} {y:.1f}"
        else:
            # A line of one point is invisible, so it gets the width of its column.
            half = WIDTH * one.seconds / 2 / length
            yield f"M{x - half:.1f} {y:.1f}H{x + half:.1f}"


def _round_up(most: float) -> float:
    """Return the next round number: 1, 2 or 5 times a power of ten."""
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
    """Return a number with about three significant digits; None: a dash."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 1 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"
