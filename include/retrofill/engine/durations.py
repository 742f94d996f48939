"""Durations: predict how long the calls of a run take from those of its canary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from retrofill.engine.fit import Fit, Range, least_squares, percentile
from retrofill.model.cost import Usage

CALLS_PER_COLUMN = 5
"""Calls that a model needs per coefficient; with fewer it would fit anything."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be called."""

    items: int
    calls: int
    """Without retries."""

    bytes: int | None = None
    """The size of the items, as reported by their source; None: unknown."""

    is_exact: bool = True
    """Whether the numbers are counted; False: they are estimates."""


def bytes_of(sizes: Sequence[int | None]) -> int | None:
    """Return the sum of sizes; None: at least one is unknown."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


class Sample(NamedTuple):
    """A call that was measured."""

    items: int
    bytes: int | None
    """The size of its items; None: their source does not report it."""

    usage: Usage
    held_ms: float
    """Milliseconds from writing it ahead to settling it, during which it occupies a place."""

    @property
    def warm_ms(self) -> float:
        """Milliseconds billed for it, without the start of its environment."""
        billed = self.usage.took_ms if self.usage.billed_ms is None else self.usage.billed_ms
        return max(0.0, billed - (self.usage.init_ms or 0))


class Measured(NamedTuple):
    """What was measured."""

    samples: Sequence[Sample]
    calls: int
    """All calls, including those that were not measured."""

    called: Work
    """What they called, without repetitions after failures."""

    @property
    def is_billed(self) -> bool:
        """Whether the billed duration of each call is known."""
        return all(sample.usage.billed_ms is not None for sample in self.samples)

    @property
    def starts(self) -> list[int]:
        """Milliseconds that environments took to start, one for each call that waited."""
        return [sample.usage.init_ms for sample in self.samples if sample.usage.init_ms]

    @property
    def repeats(self) -> float:
        """How many calls were made for each that is needed if none fails."""
        return self.calls / self.called.calls if self.called.calls else 1.0

    @property
    def carried(self) -> float:
        """How many items the calls carried for each item called; failures repeat some."""
        carried = sum(sample.items for sample in self.samples)
        return max(1.0, carried / self.called.items) if self.called.items else 1.0

    def percentile_ms(self, percent: float) -> float:
        """Return the duration in milliseconds that this percentage of calls did not exceed."""
        return percentile([sample.usage.took_ms for sample in self.samples], percent)


class Model(NamedTuple):
    """How long calls take, depending on what they carry."""

    words: str
    columns: Callable[[float, float, float], tuple[float, ...]]
    """Makes the columns of a call, or of the sum of many, from calls, items and bytes."""

    needs_bytes: bool = False


MODELS = (
    Model("in proportion to items", lambda _, items, __: (items,)),
    Model("by call and item", lambda calls, items, _: (calls, items)),
    Model("by byte", lambda _, __, size: (size,), needs_bytes=True),
    Model("by call and byte", lambda calls, _, size: (calls, size), needs_bytes=True),
    Model(
        "by call, item and byte",
        lambda calls, items, size: (calls, items, size),
        needs_bytes=True,
    ),
)
"""The first one is used unless another explains more."""


class Durations(NamedTuple):
    """The total duration of the calls of some work."""

    ms: Range
    words: str
    """What the model is based on."""


def predict(
    samples: Sequence[Sample], work: Work, value: Callable[[Sample], float], timeout_s: float
) -> Durations:
    """Return how long the calls of some work take, as predicted from measured ones.

    Models are compared by leave-one-out prediction, so a model with more coefficients does not win
    only because of these.

    :param value: the duration of a call to predict, in milliseconds
    :param timeout_s: the most seconds that a call takes
    """
    most = work.calls * timeout_s * 1_000
    values = [value(sample) for sample in samples]
    sized = work.bytes is not None and all(sample.bytes is not None for sample in samples)
    best: tuple[Fit, Model] | None = None
    for model in MODELS:
        if model.needs_bytes and not sized:
            continue
        rows = [model.columns(1.0, sample.items, sample.bytes or 0) for sample in samples]
        if best and len(rows) < CALLS_PER_COLUMN * len(rows[0]):
            continue
        found = least_squares(rows, values)
        if found and (best is None or found.error < best[0].error):
            best = found, model
    if best is None:
        carried = sum(sample.items for sample in samples)
        likely = sum(values) / carried * work.items if carried else None
        return Durations(
            Range(0.0, likely, most).within(0.0, most),
            "a single call: how others differ is unknown",
        )
    fitted, model = best
    sums = model.columns(work.calls, work.items, work.bytes or 0)
    return Durations(fitted.total(sums, work.calls).within(0.0, most), model.words)
