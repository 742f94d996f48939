"""The names of what may become of a call that does not succeed, and of why calls fail."""

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
"""What may have a limit of its own: a run stops for one that is misconfigured anyway."""
