"""A task whose calls are all refused: for how long, why, and whether that is too long."""

from retrofill.engine.backoff import RETRY_AFTER_CAP_S
from retrofill.engine.outcomes import Ending, Outcome
from retrofill.model.calls import Refused

REFUSED_S = 300.0
"""Seconds of nothing but refusals after which the run gives up."""

_LONGEST_REASON = 500

_REFUSALS = (Outcome.THROTTLED, Outcome.STARTING)


class Refusals:
    """The calls of a task that were refused in a row. Times are monotonic seconds.

    :param function_timeout_s: after this, a call that was let through has ended
    """

    def __init__(self, function_timeout_s: float) -> None:
        self._patience_s = REFUSED_S + function_timeout_s
        self._since: float | None = None
        self._asked_s = 0.0
        self._reason = ""
        self._any_answered = False

    def ended(self, ended: Ending, *, now: float) -> None:
        """Record how a call ended."""
        if ended.kind not in _REFUSALS:
            self._since = None
            self._any_answered = True
            return
        if self._since is None:
            self._since, self._asked_s = now, 0.0
        # Nothing is sent before the requested wait is over.
        self._asked_s = max(self._asked_s, min(ended.retry_after_s or 0.0, RETRY_AFTER_CAP_S))
        self._reason = f"{ended.error_type}: {ended.message}"[:_LONGEST_REASON]

    def forget(self) -> None:
        """Start again: nothing may be sent for a while, so nothing can be let through."""
        self._since = None

    def take_answered(self) -> bool:
        """Return whether a call was let through since the last time."""
        answered, self._any_answered = self._any_answered, False
        return answered

    def report(self, now: float) -> Refused | None:
        """Return the refusals since a call was let through; None: there were none."""
        if self._since is None:
            return None
        for_s = now - self._since
        return Refused(for_s, self._reason, self._patience_s + self._asked_s)
