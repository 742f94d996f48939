"""Forecasts: what holds for each of them, and how they read."""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from retrofill.engine.durations import Measured, Sample, Work, predict
from retrofill.engine.fit import Range
from retrofill.engine.forecast import Forecast, Listing, Overhead, calling_s, forecast
from retrofill.model.cost import Price, Usage
from retrofill.model.limits import Limits

PRICE = Price(
    per_call=0.2e-6, per_gb_second=1.66667e-5, memory_mb=512, words="Lambda in us-east-1, x86"
)
LIMITS = Limits(max_concurrency=50, max_items_per_set=1_000_000)
NOTHING = Overhead(1, 1, Range.exactly(0), Range.exactly(0))
TIMEOUT_S = 60.0


def sample(ms: float, items: int = 1, size: int | None = None, init_ms: int = 0) -> Sample:
    billed = ceil(ms) + init_ms
    usage = Usage(took_ms=billed + 5, billed_ms=billed, memory_mb=80, init_ms=init_ms or None)
    return Sample(items, size, usage, ms + 10)


def measured(samples: Sequence[Sample]) -> Measured:
    return Measured(samples, len(samples), Work(len(samples), len(samples)))


samples = st.builds(
    sample,
    st.floats(0.1, 50_000),
    st.integers(1, 100),
    st.integers(0, 10**9) | st.none(),
    st.integers(0, 500),
)
works = st.builds(Work, st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**12))
prices = st.builds(
    Price,
    per_call=st.floats(0, 1) | st.none(),
    per_gb_second=st.floats(0, 1) | st.none(),
    per_item=st.floats(0, 1) | st.none(),
    memory_mb=st.sampled_from([None, 128, 10_240]),
)
limits = st.builds(
    Limits,
    max_concurrency=st.integers(1, 10_000),
    max_calls_per_second=st.floats(0.1, 1e5) | st.none(),
    max_items_per_set=st.just(1),
)


@given(
    works, prices, limits, st.lists(samples, max_size=30), st.integers(1, 200), st.integers(1, 32)
)
def test_every_forecast_is_an_ordered_range(  # noqa: PLR0917
    work: Work, price: Price, limit: Limits, calls: list[Sample], tasks: int, at_once: int
) -> None:
    around = Overhead(tasks, at_once, Range(1, 2, 3), Range(2, 3, 4))
    predicted = forecast(
        work, price, limit, around, timeout_s=TIMEOUT_S,
        measured=measured(calls) if calls else None, listing=Listing(3, 5e-6, "of S3"),
    )  # fmt: skip
    ranges = [
        predicted.calls,
        predicted.seconds,
        *(term.dollars for term in predicted.terms if term.dollars),
    ]
    for low, likely, high in ranges:
        assert 0 <= low <= high
        assert likely is None or low <= likely * (1 + 1e-9) <= high * (1 + 1e-8)
    assert predicted.dollars is not None
    assert predicted.dollars.high == pytest.approx(
        sum(term.dollars.high for term in predicted.terms if term.dollars)
    )
    assert Forecast.from_json(predicted.as_json()) == predicted
    assert all(map(all, predicted.words()))


@given(works, limits)
def test_unmeasured_calls_are_bounded_by_the_timeout(work: Work, limit: Limits) -> None:
    assume(work.calls)
    predicted = forecast(work, PRICE, limit, NOTHING, timeout_s=TIMEOUT_S)
    assert predicted.calls == Range.exactly(work.calls)
    requests, compute = (term.dollars for term in predicted.terms)
    assert requests == Range.exactly(work.calls).scaled(0.2e-6)
    assert compute is not None
    assert (compute.low, compute.likely) == (0, None)
    assert compute.high == pytest.approx(work.calls * TIMEOUT_S * 0.5 * 1.66667e-5)
    assert predicted.seconds.low == pytest.approx(calling_s(work.calls, 0, limit))
    assert "not measured" in predicted.duration_words


def test_unknown_terms_are_called_unknown_and_never_zero() -> None:
    work = Work(100, 100)
    predicted = forecast(work, Price(), LIMITS, NOTHING, timeout_s=3)
    assert predicted.dollars is None
    assert predicted.unknown == ["requests", "compute"]
    assert "cost: unknown" in [": ".join(said) for said in predicted.words()]
    listing = Listing(2, None, "no price is known")
    predicted = forecast(work, replace(PRICE, missing=("price_per_gb_second",)), LIMITS, NOTHING,
                    timeout_s=3, listing=listing)  # fmt: skip
    assert predicted.dollars is None
    assert predicted.unknown == ["requests", "compute", "listing"]
    assert any("give price_per_gb_second" in line for _, line in predicted.words())
    items = Price(per_item=0.01, missing=("price_per_gb_second",))
    predicted = forecast(work, items, LIMITS, NOTHING, timeout_s=3)
    assert predicted.dollars == Range.exactly(1.0)
    assert "cost: $1.00, and what is unknown: requests, compute" in [
        ": ".join(said) for said in predicted.words()
    ]


def test_estimated_counts_are_marked_as_estimates() -> None:
    predicted = forecast(Work(10, 10, is_exact=False), PRICE, LIMITS, NOTHING, timeout_s=3)
    assert dict(predicted.words())["calls from now on"] == "about 10"


@given(st.floats(1, 1_000), st.floats(0, 100), st.floats(0, 1e-4), st.integers(30, 200))
def test_durations_per_call_item_and_byte_are_forecast(
    a: float, b: float, c: float, n: int
) -> None:
    """If durations follow a line, the sample is enough, even if its calls are unlike the run's."""
    rng = random.Random(n)  # noqa: S311
    everything = [(rng.randint(1, 100), rng.randint(1, 10**7)) for _ in range(2_000)]
    took = [a + b * items + c * size for items, size in everything]
    calls = [sample(took[at], *everything[at]) for at in range(n)]
    work = Work(
        sum(items for items, _ in everything), len(everything), sum(size for _, size in everything)
    )
    predicted = predict(calls, work, lambda one: one.held_ms - 10, TIMEOUT_S * 1_000)
    assert predicted.ms.likely == pytest.approx(sum(took), rel=1e-3)


def test_durations_that_fit_no_line_are_forecast_by_the_mean() -> None:
    rng = random.Random(3)  # noqa: S311
    calls = [sample(100 + rng.random(), 10, rng.randint(1, 10**6)) for _ in range(20)]
    predicted = predict(calls, Work(1_000, 100, 10**8), lambda one: one.warm_ms, TIMEOUT_S)
    assert predicted.words == "in proportion to items"
    assert predicted.ms.likely == pytest.approx(100 * 101, rel=0.02)


def test_a_single_call_is_no_basis_for_a_forecast() -> None:
    predicted = predict([sample(100)], Work(50, 50), lambda one: one.warm_ms, TIMEOUT_S)
    assert predicted.ms == (0, 5_000, 50 * TIMEOUT_S * 1_000)


def test_cold_starts_are_counted_apart() -> None:
    calls = [sample(10, init_ms=300) for _ in range(10)] + [sample(10) for _ in range(40)]
    predicted = forecast(Work(10_000, 10_000), PRICE, LIMITS, NOTHING,
                    timeout_s=3, measured=measured(calls))  # fmt: skip
    compute = predicted.terms[1]
    assert compute.dollars is not None
    a_ms = 0.5 / 1_000 * 1.66667e-5
    assert compute.dollars.likely == pytest.approx((10_000 * 10 + 40 * 300) * a_ms)
    assert compute.dollars.low == pytest.approx(10_000 * 10 * a_ms)
    assert compute.dollars.high == pytest.approx((10_000 * 10 + 50 * 300) * a_ms)
    assert "to start environments" in compute.words


def test_failures_of_the_canary_count_as_retries_of_the_run() -> None:
    calls = Measured([sample(10)] * 110, calls=120, called=Work(100, 100))
    predicted = forecast(Work(1_000, 1_000), PRICE, LIMITS, NOTHING, timeout_s=3, measured=calls)
    # Of 20 events, 30.9 are the most at 95 %.
    assert predicted.calls == pytest.approx((1_000, 1_200, 1_308.9), rel=1e-3)


def test_the_cost_of_the_canary_is_a_term() -> None:
    predicted = forecast(Work(0, 0), PRICE, LIMITS, NOTHING, timeout_s=3, spent=1.5)
    assert predicted.dollars == Range.exactly(1.5)
    assert predicted.seconds == Range.exactly(0)


@given(st.integers(1, 10**6), st.floats(1e-4, 900), limits)
def test_calls_take_no_less_than_their_limits_allow(
    calls: int, mean_s: float, limit: Limits
) -> None:
    took = calling_s(calls, calls * mean_s, limit)
    assert (
        took >= (calls * mean_s / limit.most_in_flight) * (1 - 1e-9) or calls < limit.most_in_flight
    )
    assert took >= mean_s * (1 - 1e-9)
    if limit.max_calls_per_second:
        assert took >= (calls - 1) / limit.max_calls_per_second * (1 - 1e-9)
    alone = replace(limit, max_concurrency=1, max_calls_per_second=None)
    assert calling_s(calls, calls * mean_s, alone) == pytest.approx(calls * mean_s)


def test_the_ramp_counts_where_calls_are_few_and_long() -> None:
    wide = replace(LIMITS, max_concurrency=1_000)
    # 10 in the first second, then 20, 40...: the last begins after 3 s and something.
    assert 33 < calling_s(100, 100 * 30.0, wide) < 35
    assert calling_s(10, 10 * 30.0, wide) == pytest.approx(30, abs=1)


def test_tasks_that_wait_for_a_place_in_airflow_begin_later() -> None:
    starting = Overhead(10, 4, Range(1, 2, 4), Range(1, 1, 1))
    predicted = forecast(Work(0, 0), PRICE, LIMITS, starting, timeout_s=3)
    assert predicted.seconds == (1, 1, 1)
    predicted = forecast(Work(1, 1), PRICE, LIMITS, starting, timeout_s=3)
    assert (predicted.seconds.low, predicted.seconds.high) == pytest.approx((2, 4 + 2 * 4 + 3 + 1))


def test_retried_items_are_paid_again() -> None:
    # Four items in a failed call, then in two halves.
    found = Measured([sample(5, 4), sample(5, 2), sample(5, 2)], 3, Work(4, 1))
    assert found.carried == 2
    predicted = forecast(
        Work(100, 25), Price(per_item=0.01), LIMITS, NOTHING, timeout_s=3, measured=found
    )
    assert predicted.dollars == pytest.approx((1, 2, 2))


def test_a_forecast_in_words() -> None:
    predicted = forecast(
        Work(20_000, 20_000),
        replace(PRICE, per_item=0.001),
        LIMITS,
        Overhead(2, 4, Range(2, 4, 8), Range(3, 6, 12)),
        timeout_s=3,
        measured=measured([sample(ms) for ms in range(50, 150)]),
        listing=Listing(20, 5e-6, "$0.005 per 1,000"),
    )
    assert dict(predicted.words()) == {
        "calls from now on": "20,000",
        "cost": "$20.02",
        "cost of requests": "$0.004; 20,000 calls",
        "cost of compute": "$0.01658 ($0.01562 to $0.01755); 995 (937 to 1,053) GB-seconds"
        " at 512 MB",
        "cost of items": "$20.00; 20,000 items in calls, by price_per_item",
        "cost of listing": "$0.0001; 20 requests, $0.005 per 1,000",
        "time to the end": "54 s (47 s to 1 min 6 s)",
        "durations": "in proportion to items, as billed, from 100 calls; ranges at 95 % confidence",
        "prices": "Lambda in us-east-1, x86",
    }


@pytest.mark.parametrize(
    ("calls", "mean_s", "more", "seconds"),
    [
        # 2 in flight for the first 30 s, which is all that these take.
        (100, 0.5, {}, 25),
        # Its last minutes let the most through; after them, 200 are in flight.
        (20_000, 0.5, {}, 490),
        (120_000, 0.5, {}, 840),
        # A look needs 20 calls, and the first ones take minutes.
        (20, 60.0, {}, 600),
        # The rate rises like the places; a low one is reached at once.
        (1_000, 0.001, {"max_calls_per_second": 100.0}, 290),
        (100, 0.5, {"max_calls_per_second": 0.5}, 200),
    ],
)
def test_a_ramp_takes_its_time(
    calls: int, mean_s: float, more: dict[str, float], seconds: float
) -> None:
    slow = Limits(max_concurrency=200, max_items_per_set=1, ramp_minutes=10, **more)
    assert calling_s(calls, calls * mean_s, slow) == pytest.approx(seconds, rel=0.1)
