"""The names of outcomes of calls that do not succeed, and of causes of failed calls."""

OUTCOMES = ("failed", "throttled", "starting", "unknown", "misconfigured", "too_large", "lost")
"""Outcomes other than success."""

CAUSES = (
    "timed_out",
    "out_of_memory",
    "crashed",
    "handled",
    "unhandled",
    "malformed_answer",
    "answer_lost",
)
"""Why calls failed."""

LIMITED = (*CAUSES, "unknown", "throttled", "starting", "too_large", "lost")
"""Names with a limit of their own. A *misconfigured* call always stops the run."""
