"""The param of feedback: whether a function may be called with its own output."""

from retrofill.params.base import Params, field
from retrofill.params.limits import LIMITS


class FeedbackParams(Params):
    """Whether a function may be called with its own output."""

    allow_feedback: bool = field(
        LIMITS,
        "Allow feedback",
        "A run stops if its new items look like output that the function wrote into the source,"
        " because each run would then process the output of the one before. On: do not check.",
        default=False,
    )
