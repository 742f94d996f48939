"""What calls are charged: what is billed, and the most where nobody knows that."""

import pytest
from retrofill.engine.meter import NOTHING, Meter
from retrofill.engine.outcomes import Outcome
from retrofill.model.cost import Price, Usage

PRICE = Price(per_call=1.0, per_gb_second=4.0, memory_mb=512, per_item=10.0)
METER = Meter(PRICE, 60)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN])
def test_what_ran_is_charged(outcome: Outcome):
    assert METER.charge(outcome, Usage(700, 500), 2) == (1.0 + 1.0 + 20.0, False)
    assert METER.charge(outcome, Usage(750), 2) == (1.0 + 1.5 + 20.0, True)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {"succeeded", "failed", "unknown"}))
def test_what_was_refused_costs_nothing(outcome: Outcome):
    assert METER.charge(outcome, Usage(700), 2) == NOTHING
    assert METER.charge(outcome, None, 2) == NOTHING


def test_without_an_answer_it_may_have_run_for_as_long_as_it_may():
    assert METER.charge(Outcome.UNKNOWN, None, 2) == (1.0 + 120.0 + 20.0, True)


def test_where_time_costs_nothing_an_answer_is_all_there_is_to_know():
    by_item = Meter(Price(per_item=10.0), 60)
    assert by_item.charge(Outcome.SUCCEEDED, Usage(750), 2) == (20.0, False)
    assert by_item.charge(Outcome.UNKNOWN, None, 2) == (20.0, True)


def test_without_a_price_nothing_is_counted():
    assert Meter(Price(), 60).charge(Outcome.SUCCEEDED, Usage(750), 2) == NOTHING
