"""The params of prices: what the user knows about the cost of a call."""

from dataclasses import replace
from functools import partial

from retrofill.model.cost import Price
from retrofill.params.base import Params, field

PRICES = "Prices"
_price = partial(field, PRICES, default=None, ge=0, le=10_000)


class PriceParams(Params):
    """The parts of a call's cost that no price table has, in dollars."""

    price_per_call: float | None = _price(
        "Price of a call",
        "Dollars per call, instead of the published price of a request. Empty: the published"
        " price, if there is one.",
        examples=[0.0000002],
    )
    price_per_item: float | None = _price(
        "Price of an item",
        "Dollars per item: the cost of what your function uses. Empty: unknown, and not counted.",
        examples=[0.0015],
    )

    def over(self, published: Price | None) -> Price:
        """Return the price of a run.

        :param published: the published price of the function; None: not published
        """
        price = published or Price()
        words = [price.words] if price.words else []
        if self.price_per_call is not None:
            words.append("price_per_call as given")
            price = replace(
                price,
                per_call=self.price_per_call,
                missing=tuple(name for name in price.missing if name != "price_per_call"),
            )
        if self.price_per_item is not None:
            words.append("price_per_item as given")
        return replace(price, per_item=self.price_per_item, words=", ".join(words))
