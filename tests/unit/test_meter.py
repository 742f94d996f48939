"""What calls are charged: the billed cost, or an upper bound if that is unknown."""

import pytest
from retrofill.engine.meter import NOTHING, Meter
from retrofill.engine.outcomes import Outcome
from retrofill.model.cost import Price, Usage

PRICE = Price(per_call=1.0, per_gb_second=4.0, memory_mb=512, per_item=10.0)
METER = Meter(PRICE, 60)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN])
def test_calls_that_ran_are_charged(outcome: Outcome):
    assert METER.charge(outcome, Usage(700, 500), 2) == (1.0 + 1.0 + 20.0, False)
    assert METER.charge(outcome, Usage(750), 2) == (1.0 + 1.5 + 20.0, True)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {"succeeded", "failed", "unknown"}))
def test_refused_calls_cost_nothing(outcome: Outcome):
    assert METER.charge(outcome, Usage(700), 2) == NOTHING
    assert METER.charge(outcome, None, 2) == NOTHING


def test_without_a_response_a_call_is_charged_for_its_timeout():
    assert METER.charge(Outcome.UNKNOWN, None, 2) == (1.0 + 120.0 + 20.0, True)


def test_without_a_price_of_time_a_response_makes_the_cost_certain():
    by_item = Meter(Price(per_item=10.0), 60)
    assert by_item.charge(Outcome.SUCCEEDED, Usage(750), 2) == (20.0, False)
    assert by_item.charge(Outcome.UNKNOWN, None, 2) == (20.0, True)


def test_without_a_price_no_cost_is_counted():
    assert Meter(Price(), 60).charge(Outcome.SUCCEEDED, Usage(750), 2) == NOTHING
