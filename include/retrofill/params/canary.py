"""The param of the canary: how many items are called before all others."""

from retrofill.params.base import Params, field

CANARY = "Canary"


class CanaryParams(Params):
    """Whether some items are called first, and how many."""

    canary: int | None = field(
        CANARY,
        "Canary",
        "Call this many items first, sampled by key, size and age. They count like all others."
        " Their calls forecast the cost and duration of the rest. If too many of them fail,"
        " nothing else is called. Empty: no canary.",
        default=None,
        ge=1,
        le=10_000,
        examples=[200],
    )
