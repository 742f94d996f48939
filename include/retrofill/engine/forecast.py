"""Forecast: the cost and the end of a run's calls, each as a range."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from math import ceil, log2
from typing import Any, NamedTuple

from retrofill.engine.concurrency import RAMP_S, START
from retrofill.engine.durations import Durations, Measured, Work, predict
from retrofill.engine.fit import CONFIDENCE, Range, most_events, percentile
from retrofill.engine.ramp import rising_s
from retrofill.model.amounts import counted, in_range, in_time
from retrofill.model.cost import MB_OF_A_GB, MS_OF_A_S, Price, dollars
from retrofill.model.limits import Limits
from retrofill.model.stored import Stored


class Listing(NamedTuple):
    """The requests that list the source."""

    requests: int
    per_request: float | None
    """Dollars; None: unknown."""

    words: str
    """Where the price comes from, for people."""


class Overhead(NamedTuple):
    """What a run takes in addition to its calls."""

    tasks: int
    """Tasks that call."""

    at_once: int
    """How many of them run at once."""

    start_s: Range
    """Seconds until tasks that may run have started to call."""

    end_s: Range
    """Seconds from the last call to the end of the run."""


class Term(NamedTuple):
    """One part of a cost."""

    name: str
    dollars: Range | None
    """None: unknown."""

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast(Stored):
    """What a run will take."""

    work: Work
    calls: Range
    """All calls, including retries after failures."""

    terms: tuple[Term, ...]
    seconds: Range
    """From now to the end."""

    duration_words: str
    """What durations are based on."""

    price_words: str
    """Where prices come from."""

    @property
    def dollars(self) -> Range | None:
        """The cost as far as its terms are known; None: no term is."""
        known = [term.dollars for term in self.terms if term.dollars is not None]
        return reduce(Range.plus, known) if known else None

    @property
    def unknown(self) -> list[str]:
        """The terms of the cost that are unknown."""
        return [term.name for term in self.terms if term.dollars is None]

    def words(self) -> Iterator[tuple[str, str]]:
        """Yield the forecast for people as names and texts."""
        about = "" if self.work.is_exact else "about "
        yield "calls from now on", about + in_range(self.calls, _whole)
        total = "unknown" if self.dollars is None else about + in_range(self.dollars, dollars)
        missing = self.unknown if self.dollars is not None else []
        and_more = f", and what is unknown: {', '.join(missing)}" if missing else ""
        yield "cost", total + and_more
        for term in self.terms:
            yield f"cost of {term.name}", f"{in_range(term.dollars, dollars)}; {term.words}"
        yield "time to the end", about + in_range(self.seconds, in_time)
        yield "durations", self.duration_words
        if self.price_words:
            yield "prices", self.price_words

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as plain JSON values, with its total and its texts."""
        total = self.dollars and list(self.dollars)
        return {**Stored.as_json(self), "dollars": total, "words": list(self.words())}


def forecast(
    work: Work,
    price: Price,
    limits: Limits,
    overhead: Overhead,
    *,
    timeout_s: float,
    measured: Measured | None = None,
    listing: Listing | None = None,
    spent: float = 0.0,
) -> Forecast:
    """Forecast cost and time of some calls.

    :param work: what is to be called from now on
    :param timeout_s: seconds that a call may run
    :param measured: what earlier calls of the function have shown; None: nothing
    :param listing: the requests that list the source; None: they cost nothing
    :param spent: dollars that the run has cost already
    """
    calls, billed, held, words = _calls(work, timeout_s, measured)
    longest_s = _longest_s(measured, min(work.calls, limits.most_in_flight))
    starts = _starts(work, limits, measured)
    carried = measured.carried if measured else 1.0
    items = _stretched(Range.exactly(work.items), Range(1.0, carried, carried))
    terms = list(_terms(price, items, calls, billed, starts))
    if listing is not None:
        each = listing.per_request
        cost = None if each is None else Range.exactly(listing.requests * each)
        requests = counted(listing.requests, "request")
        terms.append(Term("listing", cost, f"{requests}, {listing.words}"))
    if spent:
        terms.append(Term("the canary", Range.exactly(spent), "spent already"))
    return Forecast(
        work=work,
        calls=calls,
        terms=tuple(terms),
        seconds=_seconds(calls, held, limits, overhead, longest_s),
        duration_words=words,
        price_words=price.words,
    )


def _terms(
    price: Price, items: Range, calls: Range, billed: Range, starts: Range
) -> Iterator[Term]:
    """Yield the cost of the calls, term by term."""
    requests = in_range(calls, _whole) + (" call" if calls.high == 1 else " calls")
    seconds = billed.plus(starts).scaled(1 / MS_OF_A_S)
    compute = _compute_words(seconds, starts, price)
    if not price.is_known:
        ask = f"; give {', '.join(price.missing)}" if price.missing else ""
        yield Term("requests", None, requests + ask)
        yield Term("compute", None, compute + ask)
    else:
        if price.per_call is not None:
            yield Term("requests", calls.scaled(price.per_call), requests)
        if price.per_second is not None:
            yield Term("compute", seconds.scaled(price.per_second), compute)
    if price.per_item is not None:
        words = f"{in_range(items, _whole)} items in calls, by price_per_item"
        yield Term("items", items.scaled(price.per_item), words)


def _calls(
    work: Work, timeout_s: float, measured: Measured | None
) -> tuple[Range, Range, Range, str]:
    """Return the number of calls, their billed time, and the time that they occupy places.

    Both times are milliseconds, summed over all calls.
    """
    exact = Range.exactly(work.calls)
    if not work.calls:
        return exact, exact, exact, "nothing is called"
    if measured is None or not measured.samples:
        bounds = Range(0.0, None, work.calls * timeout_s * MS_OF_A_S)
        return (
            exact,
            bounds,
            bounds,
            f"not measured: a call runs up to its timeout, {timeout_s:g} s",
        )
    billed = predict(measured.samples, work, lambda one: one.warm_ms, timeout_s)
    held = predict(measured.samples, work, lambda one: one.held_ms, timeout_s)
    repeated = _repeated(measured)
    return (
        _stretched(exact, repeated),
        _stretched(billed.ms, repeated),
        _stretched(held.ms, repeated),
        _duration_words(measured, billed),
    )


def _repeated(measured: Measured) -> Range:
    """Return how many calls are made for each that is needed if none fails."""
    needed, again = measured.called.calls, measured.calls - measured.called.calls
    if not needed or again <= 0:
        return Range.exactly(measured.repeats)
    return Range(1.0, measured.repeats, 1 + most_events(again) / needed)


def _duration_words(measured: Measured, billed: Durations) -> str:
    source = "as billed" if measured.is_billed else "as measured by the client; billing is unknown"
    return (
        f"{billed.words}, {source}, from {counted(len(measured.samples), 'call')};"
        f" ranges at {100 * CONFIDENCE:.0f} % confidence"
    )


def _starts(work: Work, limits: Limits, measured: Measured | None) -> Range:
    """Return the total milliseconds that start environments, as far as they are known.

    Each call in flight needs an environment. Those that the canary started may still be there.
    """
    starts = measured.starts if measured else []
    if not starts:
        return Range.exactly(0.0)
    mean = sum(starts) / len(starts)
    most = min(work.calls, limits.most_in_flight)
    left = max(0, most - len(starts))
    return Range(0.0, mean * left, max(starts) * most)


def _compute_words(seconds: Range, starts: Range, price: Price) -> str:
    if price.memory_mb is None:
        return f"{in_range(seconds, in_time)} of calls"
    gb = price.memory_mb / MB_OF_A_GB
    words = f"{in_range(seconds.scaled(gb), _whole)} GB-seconds at {price.memory_mb:,} MB"
    if starts.high:
        to_start = in_range(starts.scaled(gb / MS_OF_A_S), _whole)
        words += f", of these {to_start} to start environments"
    return words


def _longest_s(measured: Measured | None, calls: int) -> float:
    """Return the likely duration of the longest of some calls."""
    if measured is None or not measured.samples or not calls:
        return 0.0
    held = [sample.held_ms for sample in measured.samples]
    return percentile(held, 100 * (1 - 1 / (calls + 1))) / MS_OF_A_S


def _seconds(
    calls: Range, held: Range, limits: Limits, overhead: Overhead, longest_s: float
) -> Range:
    """Return the seconds to the end: start-up, calls within the limits, and the end of the run."""
    waves = ceil(overhead.tasks / max(1, overhead.at_once))
    # Tasks that wait for an Airflow slot start while others call: at best that costs nothing.
    later = Range(0.0, 0.0, overhead.start_s.high * max(0, waves - 1))
    pairs = zip(calls, held, strict=True)
    low, likely, high = (
        None if count is None or ms is None else calling_s(count, ms / MS_OF_A_S, limits, longest_s)
        for count, ms in pairs
    )
    # Short calls grow the width by rounds, long ones by seconds. Where this changes, longer calls
    # may end sooner, so the results are put in order.
    least, most = low or 0.0, high or 0.0
    middle = least if likely is None else likely
    calling = Range(min(least, middle), likely, max(most, middle))
    if not calls.high:
        return overhead.end_s
    return overhead.start_s.plus(later).plus(calling).plus(overhead.end_s)


def calling_s(calls: float, held_s: float, limits: Limits, longest_s: float = 0.0) -> float:
    """Return the seconds that calls with this total duration take.

    Calls go in waves as wide as the places allow. Before that, their number doubles each round or
    each second, as in :mod:`retrofill.engine.concurrency`.

    :param held_s: seconds, summed over all calls
    :param longest_s: the duration of the longest of the last calls, for which the end waits
    """
    if not calls:
        return 0.0
    mean_s, places = held_s / calls, limits.most_in_flight
    waves, left, width = 0, calls, min(START, places)
    late_s = 0.0
    if mean_s <= RAMP_S:
        while width < places and left > width:
            waves, left, width = waves + 1, left - width, min(2 * width, places)
    else:
        # Calls without a response yet do not keep the window from growing.
        late_s = RAMP_S * max(0, ceil(log2(min(calls, places) / width)))
    waves += ceil(left / places)
    last_start_s = (waves - 1) * mean_s + late_s
    rate = limits.max_calls_per_second
    if rate:
        last_start_s = max(last_start_s, (calls - 1) / rate)
    if limits.ramp_minutes:
        ramp_s = rising_s(calls, mean_s, full=places, minutes=limits.ramp_minutes, rate=rate)
        last_start_s = max(last_start_s, ramp_s - mean_s)
    return last_start_s + max(mean_s, longest_s)


def _stretched(amount: Range, by: Range) -> Range:
    likely = None if amount.likely is None or by.likely is None else amount.likely * by.likely
    return Range(amount.low * by.low, likely, amount.high * by.high)


def _whole(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:,.2g}"  # noqa: PLR2004
