"""The cost of calls: what is billed or, if that is unknown, an upper bound."""

from typing import NamedTuple

from retrofill.engine.outcomes import Outcome
from retrofill.model.cost import Price, Usage

BILLED = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN})
"""The outcomes of calls that cost something. Lost calls do too. All others were refused."""


class Charge(NamedTuple):
    """The cost of one call, in dollars."""

    cost: float
    from_above: bool
    """Whether it is an upper bound, because nobody knows what is billed."""


NOTHING = Charge(0.0, from_above=False)


class Meter:
    """Charges the calls of a run.

    :param timeout_s: seconds that a call may run
    """

    def __init__(self, price: Price, timeout_s: float) -> None:
        self._rates = price.rates
        self._timeout_s = timeout_s

    def least(self, items: int) -> float:
        """Return the least cost of a call, without its time; 0: no price is known."""
        return 0.0 if self._rates is None else self._rates.of(0.0, items)

    def charge(self, outcome: Outcome, usage: Usage | None, items: int) -> Charge:
        """Return the cost of a call; zero if no price is known.

        :param usage: None: there was no response, so charge the whole timeout
        """
        rates = self._rates
        if rates is None or outcome not in BILLED:
            return NOTHING
        if usage is None:
            return Charge(rates.of(self._timeout_s, items), from_above=True)
        by_time = usage.billed_ms is None and rates.second > 0
        return Charge(rates.of(usage.counted_s, items), from_above=by_time)
