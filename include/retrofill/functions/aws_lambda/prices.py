"""AWS's prices for calls of a function, by region, architecture and memory.

Source: https://aws.amazon.com/lambda/pricing/, as of October 2025. Discounts are not included (the
free tier, the tiers of large accounts, savings plans, provisioned concurrency), and neither are
other charges (temporary storage above 512 MB, tenants, data that leaves the region, and everything
that the function itself uses).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from retrofill.aws.arn import Arn
from retrofill.functions.aws_lambda.params import LambdaParams
from retrofill.functions.aws_lambda.properties import ARCHITECTURE, ARM, CAPACITY, EXECUTIONS, X86
from retrofill.model.cost import Price
from retrofill.model.function import Pinned

_READ = "October 2025"


class _Prices(NamedTuple):
    """Dollars; None: unknown."""

    per_million: float
    """For a million requests."""

    x86: float
    """For a second with a GB of memory."""

    arm: float | None
    """The same."""


_USUAL = _Prices(0.20, 0.0000166667, 0.0000133334)
_MIDDLE_EAST = _Prices(0.25, 0.0000206667, 0.0000165334)
_PRICES = {
    **dict.fromkeys((
        "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
        "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1",
        "ca-west-1", "eu-central-1", "eu-north-1", "eu-south-2", "eu-west-1", "eu-west-2",
        "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
    ), _USUAL),
    "af-south-1": _Prices(0.27, 0.0000221, 0.00001768),
    "ap-east-1": _Prices(0.28, 0.00002292, 0.0000183),
    "eu-central-2": _Prices(0.22, 0.0000183334, None),
    "eu-south-1": _Prices(0.23, 0.0000195172, 0.0000156138),
    "il-central-1": _Prices(0.21, 0.0000175, None),
    "me-central-1": _MIDDLE_EAST,
    "me-south-1": _MIDDLE_EAST,
}  # fmt: skip
"""By region. Prices in other regions, such as those of governments and of China, are unknown."""

_MILLION = 1_000_000


def price(params: LambdaParams, function: Pinned) -> Price:
    """Return the price of calls of a function, as far as the table and the params have it."""
    region, architecture = Arn.parse(function.name).region, function.facts[ARCHITECTURE]
    memory_mb = function.facts["memory_mb"]
    per_call, per_gb_second = _listed(region, architecture, function.facts)
    of = f"{region}, {architecture}, {memory_mb:,} MB"
    words = [
        f"{of}: no published price is known"
        if per_call is per_gb_second is None
        else f"{of}, prices of {_READ}"
    ]
    if params.price_per_gb_second is not None:
        per_gb_second = params.price_per_gb_second
        words.append("price_per_gb_second as given")
    terms = {"price_per_call": per_call, "price_per_gb_second": per_gb_second}
    return Price(
        per_call=per_call,
        per_gb_second=per_gb_second,
        memory_mb=memory_mb,
        missing=tuple(name for name, value in terms.items() if value is None),
        words=", ".join(words),
    )


def _listed(
    region: str, architecture: str, facts: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Return AWS's price of a request, and of a second with a GB of memory."""
    found = _PRICES.get(region)
    # The steps of durable executions are billed, too, but are not counted here.
    if found is None or EXECUTIONS in facts:
        return None, None
    # A function on instances of its own is billed for those.
    architectures = {} if facts.get(CAPACITY) else {X86: found.x86, ARM: found.arm}
    return found.per_million / _MILLION, architectures.get(architecture)
