"""What a call costs, and which parts are unknown."""

import pytest
from retrofill.functions import FUNCTIONS
from retrofill.functions.aws_lambda.params import LambdaParams
from retrofill.functions.aws_lambda.prices import price
from retrofill.model.cost import Price, Usage
from retrofill.model.function import Pinned
from retrofill.params.prices import PriceParams

FULL = Price(per_call=1.0, per_gb_second=4.0, memory_mb=512, per_item=10.0)


def function(region: str = "eu-west-1", **facts: object) -> Pinned:
    usual = {"memory_mb": 1_024, "architecture": "x86_64"}
    return Pinned(
        kind="aws_lambda",
        name=f"arn:aws:lambda:{region}:123456789012:function:f",
        version="1",
        timeout_s=60,
        facts=usual | facts,
    )


def published(region: str = "eu-west-1", given: float | None = None, **facts: object) -> Price:
    return price(LambdaParams(function="f", price_per_gb_second=given), function(region, **facts))


def test_the_billed_duration_counts_if_it_is_known():
    assert FULL.rates is not None
    assert FULL.rates.of(Usage(900, 500).counted_s, 2) == 1.0 + 2.0 * 0.5 + 20.0
    assert FULL.rates.of(Usage(900).counted_s, 2) == 1.0 + 2.0 * 0.9 + 20.0
    assert FULL.rates.of(60, 3) == 1.0 + 2.0 * 60 + 30.0


def test_an_unknown_price_is_not_zero():
    assert Price().rates is None
    assert Price(per_call=1.0, missing=("price_per_gb_second",)).rates is None
    assert Price(per_item=0.0).rates == (0.0, 0.0, 0.0)


def test_a_price_is_stored_with_what_a_call_costs_at_most():
    stored = FULL.with_most(60)
    assert stored["most_per_call"] == 121.0
    assert Price.from_json(stored) == FULL
    assert Price().with_most(60)["most_per_call"] is None
    assert Price.from_json({}) == Price()


def test_a_price_depends_on_region_architecture_and_memory():
    usual = published()
    assert usual.per_call == pytest.approx(2e-7)
    assert usual.per_second == 0.0000166667
    assert published(architecture="arm64", memory_mb=2_048).per_second == 2 * 0.0000133334
    assert published("ap-east-1").per_call == pytest.approx(2.8e-7)
    assert usual.words == "eu-west-1, x86_64, 1,024 MB, prices of October 2025"


@pytest.mark.parametrize(
    ("unknown", "missing"),
    [
        (published("us-gov-west-1"), ("price_per_call", "price_per_gb_second")),
        (published("eu-central-2", architecture="arm64"), ("price_per_gb_second",)),
        (published(capacity_provider=True), ("price_per_gb_second",)),
        (published(durable_executions="r"), ("price_per_call", "price_per_gb_second")),
    ],
)
def test_a_price_in_no_table_must_be_given(unknown: Price, missing: tuple[str, ...]):
    assert not unknown.is_known
    assert unknown.missing == missing


def test_given_prices_override_or_extend_the_published_ones():
    given = PriceParams(price_per_call=0.5, price_per_item=0.25).over(published())
    assert (given.per_call, given.per_item, given.per_second) == (0.5, 0.25, 0.0000166667)
    assert given.words.endswith("price_per_call as given, price_per_item as given")
    known = PriceParams(price_per_call=0.5).over(published("us-gov-west-1", 0.00002))
    assert known.is_known
    assert known.per_second == 0.00002
    assert PriceParams().over(published()) == published()


def test_a_kind_without_prices_uses_the_given_ones():
    assert FUNCTIONS["http"].price is None
    assert not PriceParams().over(None).is_known
    assert PriceParams(price_per_item=0.25).over(None).rates == (0.0, 0.0, 0.25)
