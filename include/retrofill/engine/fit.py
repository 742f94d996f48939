"""Fit: a line through measurements, and how far a predicted sum may be off."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

CONFIDENCE = 0.95
"""The probability that a sum lies in its interval."""

_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t for CONFIDENCE, two-sided, by degrees of freedom from 1."""

_NORMAL = 1.96
"""The same for a normal distribution."""

_SINGULAR = 1e-9
"""A pivot, or 1 minus a leverage, that counts as zero."""


class Range(NamedTuple):
    """A number that is not known exactly."""

    low: float
    likely: float | None
    """None: no value between the two is more likely than another."""

    high: float

    @classmethod
    def exactly(cls, number: float) -> "Range":
        """Return a number that is known exactly."""
        return cls(number, number, number)

    @property
    def is_exact(self) -> bool:
        """Whether the number is known exactly."""
        return self.low == self.high

    def scaled(self, factor: float) -> "Range":
        """Return the number multiplied by a factor, which is not negative."""
        likely = None if self.likely is None else self.likely * factor
        return Range(self.low * factor, likely, self.high * factor)

    def plus(self, other: "Range") -> "Range":
        """Return the sum of two numbers that are at worst off in the same direction."""
        unknown = self.likely is None or other.likely is None
        likely = None if unknown else (self.likely or 0) + (other.likely or 0)
        return Range(self.low + other.low, likely, self.high + other.high)

    def within(self, low: float, high: float) -> "Range":
        """Return the number, clamped between two bounds."""
        likely = None if self.likely is None else min(max(self.likely, low), high)
        return Range(min(max(self.low, low), high), likely, min(max(self.high, low), high))


class Fit(NamedTuple):
    """A line: what each column adds to a value."""

    coefficients: tuple[float, ...]
    spread: tuple[tuple[float, ...], ...]
    """The covariance of the coefficients, robust if larger values scatter more."""

    noise: float
    """The variance of a single value about the line."""

    freedom: int
    """Degrees of freedom: measurements beyond those that the line needs."""

    error: float
    """The sum of squared leave-one-out errors."""

    def total(self, sums: Sequence[float], values: float) -> Range:
        """Return the sum of values that were not measured.

        :param sums: each column, summed over them
        :param values: the number of values
        """
        likely = _product(self.coefficients, sums)
        spread = _product([_product(row, sums) for row in self.spread], sums)
        off = _quantile(self.freedom) * sqrt(max(spread, 0.0) + values * self.noise)
        return Range(likely - off, likely, likely + off)


def least_squares(rows: Sequence[Sequence[float]], values: Sequence[float]) -> Fit | None:
    """Fit a line; return None if the rows, less any one of them, do not determine it.

    The covariance is White's, with leverage removed (HC3), which is the jackknife's:
    J. G. MacKinnon and H. White, Journal of Econometrics 29 (1985).

    :param rows: the columns of each measurement
    :param values: the measured values
    """
    columns = len(rows[0]) if rows else 0
    if not columns or len(rows) <= columns:
        return None
    scales = [max(abs(row[at]) for row in rows) or 1.0 for at in range(columns)]
    scaled = [[cell / scale for cell, scale in zip(row, scales, strict=True)] for row in rows]
    inverse = _inverse(_gram(scaled, [1.0] * len(rows)))
    if inverse is None:
        return None
    moments = [
        sum(row[at] * value for row, value in zip(scaled, values, strict=True))
        for at in range(columns)
    ]
    slopes = [_product(line, moments) for line in inverse]
    off = [value - _product(row, slopes) for row, value in zip(scaled, values, strict=True)]
    alone = [1.0 - _product([_product(line, row) for line in inverse], row) for row in scaled]
    if min(alone) < _SINGULAR:
        return None
    weights = [(each / left) ** 2 for each, left in zip(off, alone, strict=True)]
    inner = _gram(scaled, weights)
    half = [[_product(line, column) for column in zip(*inner, strict=True)] for line in inverse]
    spread = [[_product(line, column) for column in inverse] for line in half]
    freedom = len(rows) - columns
    return Fit(
        tuple(slope / scale for slope, scale in zip(slopes, scales, strict=True)),
        tuple(
            tuple(cell / (scales[at] * scale) for cell, scale in zip(line, scales, strict=True))
            for at, line in enumerate(spread)
        ),
        sum(each * each for each in off) / freedom,
        freedom,
        sum(weights),
    )


def most_events(seen: int) -> float:
    """Return the most events to expect after this many were seen, at CONFIDENCE.

    Byar's approximation of the upper bound of a Poisson distribution.
    """
    one_more = seen + 1
    return one_more * (1 - 1 / (9 * one_more) + _NORMAL / (3 * sqrt(one_more))) ** 3


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that this percentage of values does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked), -int(-len(ranked) * percent // 100)) - 1)]


def _quantile(freedom: int) -> float:
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    return 1.96 + 2.46 / freedom


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _gram(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[list[float]]:
    columns = range(len(rows[0]))
    return [
        [
            sum(weight * row[one] * row[other] for row, weight in zip(rows, weights, strict=True))
            for other in columns
        ]
        for one in columns
    ]


def _inverse(matrix: list[list[float]]) -> list[list[float]] | None:
    """Invert by Gauss-Jordan elimination, the largest pivot first; None: nearly singular."""
    size = len(matrix)
    least = _SINGULAR * max(max(map(abs, row)) for row in matrix)
    work = [[*row, *(float(at == place) for place in range(size))] for at, row in enumerate(matrix)]
    for at in range(size):
        best = max(range(at, size), key=lambda row: abs(work[row][at]))
        if abs(work[best][at]) <= least:
            return None
        work[at], work[best] = work[best], work[at]
        work[at] = [cell / work[at][at] for cell in work[at]]
        for row in range(size):
            if row != at:
                factor = work[row][at]
                work[row] = [a - factor * b for a, b in zip(work[row], work[at], strict=True)]
    return [row[size:] for row in work]
