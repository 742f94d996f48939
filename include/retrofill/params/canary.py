"""The param of the canary: how many items are called before all others."""

from retrofill.params.base import Params, field

CANARY = "Canary"


class CanaryParams(Params):
    """Whether some items are called first, and how many."""

    canary: int | None = field(
        CANARY,
        "Canary",
        "Call so many items first, chosen across keys, sizes and ages: they count like all others."
        " What they took tells what the rest will cost, and when it will be done. If more of them"
        " fail than the limits on failures allow, nothing else is called. Empty: no canary.",
        default=None,
        ge=1,
        le=10_000,
        examples=[200],
    )
