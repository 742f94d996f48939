"""What calls cost: what is billed for them and, where nobody knows that, the most it can be."""

from typing import NamedTuple

from retrofill.engine.outcomes import Outcome
from retrofill.model.cost import Price, Usage

BILLED = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN})
"""The classes of calls that cost something; lost ones do, too. The others were refused."""


class Charge(NamedTuple):
    """What one call costs, in dollars."""

    cost: float
    from_above: bool
    """Whether that is the most it can be, since nobody knows what is billed."""


NOTHING = Charge(0.0, from_above=False)


class Meter:
    """Charges the calls of a run.

    :param timeout_s: seconds that a call may run
    """

    def __init__(self, price: Price, timeout_s: float) -> None:
        self._rates = price.rates
        self._timeout_s = timeout_s

    def least(self, items: int) -> float:
        """Return what a call costs at least: all but its time is known before; 0: nothing is."""
        return 0.0 if self._rates is None else self._rates.of(0.0, items)

    def charge(self, outcome: Outcome, usage: Usage | None, items: int) -> Charge:
        """Return what a call costs; nothing where no price is known.

        :param usage: None: no answer came, so it may have run for as long as it may
        """
        rates = self._rates
        if rates is None or outcome not in BILLED:
            return NOTHING
        if usage is None:
            return Charge(rates.of(self._timeout_s, items), from_above=True)
        by_time = usage.billed_ms is None and rates.second > 0
        return Charge(rates.of(usage.counted_s, items), from_above=by_time)
