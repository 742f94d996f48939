"""The param of feedback: whether a function may be called with what it wrote itself."""

from retrofill.params.base import Params, field
from retrofill.params.limits import LIMITS


class FeedbackParams(Params):
    """Whether a function may be called with what it wrote itself."""

    allow_feedback: bool = field(
        LIMITS,
        "Allow feedback",
        "A run stops when its new items look like outputs that the function has written into the"
        " source, so that each run would call it with those of the run before. On: it does not"
        " look.",
        default=False,
    )
