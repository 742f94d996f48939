"""The function that a run calls, as it was found when the run was opened."""

from dataclasses import dataclass

LATEST = "$LATEST"
"""The version that is not published; what a function is called as when nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersion:
    """One version of a Lambda function, pinned for a run."""

    arn: str
    """The function's ARN, without version or alias."""

    version: str
    """The version that is called: a number, or ``$LATEST``."""

    qualifier: str | None
    """The version or alias that was asked for."""

    timeout_s: int
    memory_mb: int
    code_sha256: str
    state: str
    last_update_status: str
