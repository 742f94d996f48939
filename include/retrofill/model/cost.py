"""What calls cost: what one of them used, and what that is multiplied by."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

MB_OF_A_GB = 1_024
MS_OF_A_S = 1_000


def dollars(amount: float) -> str:
    """Return an amount for people: to the cent or, where that says little, to four digits."""
    digits = 2 if not amount else max(2, 3 - math.floor(math.log10(abs(amount))))
    whole, _, rest = f"{amount:,.{digits}f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"


class Usage(NamedTuple):
    """What one call used."""

    took_ms: int
    """Milliseconds from sending it to its whole answer, as the client measured them."""

    billed_ms: int | None = None
    """Milliseconds billed for it, as the function's service says; None: it says nothing."""

    memory_mb: int | None = None
    """The most memory that the function used, likewise."""

    init_ms: int | None = None
    """Milliseconds, of those billed, that started an environment for it; None: none were told."""

    @property
    def took_s(self) -> float:
        """Seconds that it took."""
        return self.took_ms / MS_OF_A_S

    @property
    def counted_s(self) -> float:
        """Seconds by which it is counted: those billed, else those it took."""
        return (self.took_ms if self.billed_ms is None else self.billed_ms) / MS_OF_A_S


class Rates(NamedTuple):
    """What each call, each second of it and each of its items costs, in dollars."""

    call: float
    second: float
    item: float

    def of(self, seconds: float, items: int) -> float:
        """Return what a call costs."""
        return self.call + self.second * seconds + self.item * items


class ListingPrice(NamedTuple):
    """What the requests that list a source cost."""

    items: int
    """The most that one request lists."""

    per_request: float
    """Dollars."""

    words: str
    """Where the price is from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the calls of a run cost, in dollars. None: a term is unknown, or there is none."""

    per_call: float | None = None
    per_gb_second: float | None = None

    memory_mb: int | None = None
    """Memory by which time is billed: that of the function, however much of it is used."""

    per_item: float | None = None
    """What is behind the function; nobody knows it but the person who gives it."""

    missing: tuple[str, ...] = ()
    """The params that must be given before a cost can be told, since no table has the terms."""

    words: str = ""
    """Where the terms are from, for people."""

    @property
    def is_known(self) -> bool:
        """Whether it can be told what a call costs."""
        terms = (self.per_call, self.per_second, self.per_item)
        return not self.missing and any(term is not None for term in terms)

    @property
    def per_second(self) -> float | None:
        """What a second of a call costs."""
        if self.per_gb_second is None or self.memory_mb is None:
            return None
        return self.per_gb_second * self.memory_mb / MB_OF_A_GB

    @property
    def rates(self) -> Rates | None:
        """By what calls are charged; None: it cannot be told."""
        if not self.is_known:
            return None
        return Rates(self.per_call or 0.0, self.per_second or 0.0, self.per_item or 0.0)

    def of_call(self, usage: Usage, items: int) -> float | None:
        """Return what a call costs; None: that is unknown.

        A call of which nobody knows what is billed is counted from above: by the time it took.
        """
        return self.most(items, usage.counted_s)

    def most(self, items: int, timeout_s: float) -> float | None:
        """Return the most that a call can cost which runs so long; None: that is unknown."""
        rates = self.rates
        return None if rates is None else rates.of(timeout_s, items)

    def as_json(self, timeout_s: float) -> dict[str, Any]:
        """Return the price as a JSON object, with what a call without items costs at most.

        :param timeout_s: seconds that a call may run
        """
        return {**asdict(self), "most_per_call": self.most(0, timeout_s)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Price":
        """Return the price that :meth:`as_json` made such an object of."""
        terms = {name: value for name, value in stored.items() if name != "most_per_call"}
        return cls(**terms | {"missing": tuple(terms.get("missing", ()))})
