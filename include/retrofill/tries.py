"""The tries of a task that is retried as long as they make progress."""

import logging

from retrofill.compat import (
    RETRIES_WITHOUT_NOTES,
    Context,
    ExceptionRetryPolicy,
    RetryDecision,
    keeps_notes,
    notes_of,
)
from retrofill.model.errors import NoProgress

log = logging.getLogger(__name__)

RETRIES = 4
"""How often a task is retried without progress."""

RETRIES_IN_ALL = 1_000 if keeps_notes() else RETRIES_WITHOUT_NOTES
"""How often Airflow, which cannot see progress, may retry a task."""

_PROGRESSED = "progressed_in_try"
"""The key in Airflow's task state store for the last try with progress."""


class Tries:
    """The tries of a task, counted from the last one that made progress.

    A process may die at any time, so progress is noted at once.
    """

    def __init__(self, context: Context) -> None:
        ti = context["ti"]
        self._store = notes_of(context)
        self._number: int = ti.try_number
        # Clearing a task restarts its count: Airflow then raises the allowed number.
        self._began_after = max(0, ti.max_tries - (context["task"].retries or 0))
        self._progressed = False

    @property
    def without_progress(self) -> int:
        """How many tries in a row, including this one, have made no progress; 0 without notes."""
        if self._store is None:
            return 0
        since = self._number - self._began_after
        if self._progressed or since <= RETRIES:
            return 0 if self._progressed else since
        noted = self._store.get(_PROGRESSED, 0)
        return self._number - max(self._began_after, noted if isinstance(noted, int) else 0)

    def require_progress(self) -> None:
        """Check that this try is still allowed.

        :raises NoProgress: too many tries in a row have made no progress
        """
        before = self.without_progress - 1
        if before > RETRIES:
            raise NoProgress(
                f"{before} tries in a row ended without progress, the most allowed; find the reason"
                " in their logs, or in Airflow's own if their processes were killed, then clear"
                " this task to continue"
            )

    def progressed(self) -> None:
        """Note that this try has made progress."""
        if self._progressed or self._store is None:
            return
        self._progressed = True
        try:
            self._store.set(_PROGRESSED, self._number)
        except Exception:
            log.exception("Airflow did not note that this try has made progress")


class WhileProgress(ExceptionRetryPolicy):
    """Retries a task as long as its tries make progress, and the error's rule allows it."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Fail a task whose last tries, including this one, made no progress."""
        if context is not None and Tries(context).without_progress > RETRIES:
            return RetryDecision.fail(f"{RETRIES + 1} tries in a row without progress")
        return super().evaluate(exception, try_number, max_tries, context)
