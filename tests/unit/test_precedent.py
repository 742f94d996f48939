"""What items will cost, judged by earlier runs."""

from retrofill.engine.fit import Range
from retrofill.engine.precedent import PastRun, cost_of


def test_the_cost_is_between_the_cheapest_and_the_dearest_run() -> None:
    assert cost_of(100, [PastRun(1.0, 100), PastRun(9.0, 300)]) == Range(1.0, 2.5, 3.0)


def test_without_an_earlier_run_the_cost_is_unknown() -> None:
    assert cost_of(100, []) is None
    assert cost_of(100, [PastRun(0.5, 0)]) is None
