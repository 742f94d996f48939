"""The cost of calls: usage and prices."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrofill.model.stored import Stored

MB_OF_A_GB = 1_024
MS_OF_A_S = 1_000


def dollars(amount: float) -> str:
    """Return an amount for people: to the cent or, if it is small, to four digits."""
    digits = 2 if not amount else max(2, 3 - math.floor(math.log10(abs(amount))))
    whole, _, rest = f"{amount:,.{digits}f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"


class Usage(NamedTuple):
    """What one call used."""

    took_ms: int
    """Milliseconds from sending it to its complete response, as measured by the client."""

    billed_ms: int | None = None
    """Billed milliseconds, as reported by the function's service; None: not reported."""

    memory_mb: int | None = None
    """The most memory that the function used; None: not reported."""

    init_ms: int | None = None
    """Billed milliseconds that started an environment for it; None: not reported."""

    @property
    def took_s(self) -> float:
        """Its duration in seconds."""
        return self.took_ms / MS_OF_A_S

    @property
    def counted_s(self) -> float:
        """Seconds to charge: those billed or, if unknown, its duration."""
        return (self.took_ms if self.billed_ms is None else self.billed_ms) / MS_OF_A_S


class Rates(NamedTuple):
    """The price per call, per second and per item, in dollars."""

    call: float
    second: float
    item: float

    def of(self, seconds: float, items: int) -> float:
        """Return the cost of a call."""
        return self.call + self.second * seconds + self.item * items


class ListingPrice(NamedTuple):
    """The price of the requests that list a source."""

    items: int
    """The most items that one request lists."""

    per_request: float
    """Dollars."""

    words: str
    """Where the price comes from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Stored):
    """The price of a run's calls, in dollars. None: a term is unknown or does not apply."""

    per_call: float | None = None
    per_gb_second: float | None = None

    memory_mb: int | None = None
    """Memory that is billed per second: what the function is configured with, not what it uses."""

    per_item: float | None = None
    """The cost of what the function uses, which only the user can know."""

    missing: tuple[str, ...] = ()
    """Params without which the cost is unknown, because no price table has the terms."""

    words: str = ""
    """Where the terms come from, for people."""

    @property
    def is_known(self) -> bool:
        """Whether the cost of a call is known."""
        terms = (self.per_call, self.per_second, self.per_item)
        return not self.missing and any(term is not None for term in terms)

    @property
    def per_second(self) -> float | None:
        """The cost of a second of a call."""
        if self.per_gb_second is None or self.memory_mb is None:
            return None
        return self.per_gb_second * self.memory_mb / MB_OF_A_GB

    @property
    def rates(self) -> Rates | None:
        """The rates by which calls are charged; None: unknown."""
        if not self.is_known:
            return None
        return Rates(self.per_call or 0.0, self.per_second or 0.0, self.per_item or 0.0)

    def with_most(self, timeout_s: float) -> dict[str, Any]:
        """Return :meth:`as_json`, with the highest cost of a call without items.

        :param timeout_s: seconds that a call may run
        """
        most = None if self.rates is None else self.rates.of(timeout_s, 0)
        return {**self.as_json(), "most_per_call": most}
