"""Durations: what a canary's calls say of how long those of the whole run will take."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from retrofill.engine.fit import Fit, Range, least_squares, percentile
from retrofill.model.cost import Usage

CALLS_PER_COLUMN = 5
"""Calls that a model needs for each number it has to find: below, it fits whatever it is given."""


class Work(NamedTuple):
    """What is to be called."""

    items: int
    calls: int
    """Without retries."""

    bytes: int | None = None
    """What the items hold, by their source; None: it does not tell."""

    is_exact: bool = True
    """Whether the numbers are counted; False: they are estimates."""


def bytes_of(sizes: Sequence[int | None]) -> int | None:
    """Return the sum of some sizes; None: one of them is unknown."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


class Sample(NamedTuple):
    """A call that was measured."""

    items: int
    bytes: int | None
    """What its items hold; None: their source does not tell."""

    usage: Usage
    held_ms: float
    """Milliseconds from writing it ahead to settling it: so long it takes the place of another."""

    @property
    def warm_ms(self) -> float:
        """Milliseconds that are billed for it, the start of its environment apart."""
        billed = self.usage.took_ms if self.usage.billed_ms is None else self.usage.billed_ms
        return max(0.0, billed - (self.usage.init_ms or 0))


class Measured(NamedTuple):
    """What was measured."""

    samples: Sequence[Sample]
    calls: int
    """All calls, those that were not measured among them."""

    called: Work
    """What they have called; without those that failures made necessary."""

    @property
    def is_billed(self) -> bool:
        """Whether each call says what is billed for it."""
        return all(sample.usage.billed_ms is not None for sample in self.samples)

    @property
    def starts(self) -> list[int]:
        """Milliseconds for which environments were started, one for each call that waited."""
        return [sample.usage.init_ms for sample in self.samples if sample.usage.init_ms]

    @property
    def repeats(self) -> float:
        """How many calls it took for each that is needed if none fails."""
        return self.calls / self.called.calls if self.called.calls else 1.0

    @property
    def carried(self) -> float:
        """How many items its calls carried for each that was called; failures call some again."""
        carried = sum(sample.items for sample in self.samples)
        return max(1.0, carried / self.called.items) if self.called.items else 1.0

    def percentile_ms(self, percent: float) -> float:
        """Return the milliseconds that so many percent of the calls took at most."""
        return percentile([sample.usage.took_ms for sample in self.samples], percent)


class Model(NamedTuple):
    """How long calls take, by what they carry."""

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
"""The first is what is taken unless another explains more."""


class Durations(NamedTuple):
    """How long the calls of some work take in all."""

    ms: Range
    words: str
    """What the model goes by."""


def foretell(
    samples: Sequence[Sample], work: Work, value: Callable[[Sample], float], timeout_s: float
) -> Durations:
    """Return how long the calls of a work take, by those that were measured.

    A model is judged by how well it tells each measured call from the others, so one with more
    numbers to find is not taken for those alone.

    :param value: what of a call is foretold, in milliseconds
    :param timeout_s: seconds that a call takes at most
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
