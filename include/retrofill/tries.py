"""The tries of a task: it is tried again for as long as they make progress."""

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
"""How often a task is tried again without progress."""

RETRIES_IN_ALL = 1_000 if keeps_notes() else RETRIES_WITHOUT_NOTES
"""How often Airflow tries again a task that makes progress, which it cannot tell itself."""

_PROGRESSED = "progressed_in_try"
"""The key of Airflow's task state store under which the last try with progress stands."""


class Tries:
    """The tries of a task, counted from the last one that made progress.

    A process may die at any moment, so progress is noted when it is first made.

    :param context: of the try that runs
    """

    def __init__(self, context: Context) -> None:
        ti = context["ti"]
        self._store = notes_of(context)
        self._number: int = ti.try_number
        # Whoever clears a task has its count begin anew: Airflow then raises what is allowed.
        self._began_after = max(0, ti.max_tries - (context["task"].retries or 0))
        self._progressed = False

    @property
    def in_vain(self) -> int:
        """How many tries in a row, this one among them, have made no progress so far.

        None, as far as is known, where Airflow keeps no notes.
        """
        if self._store is None:
            return 0
        since = self._number - self._began_after
        if self._progressed or since <= RETRIES:
            return 0 if self._progressed else since
        noted = self._store.get(_PROGRESSED, 0)
        return self._number - max(self._began_after, noted if isinstance(noted, int) else 0)

    def require_progress(self) -> None:
        """Refuse this try if those before it have used up what is allowed without progress.

        :raises NoProgress: they have
        """
        before = self.in_vain - 1
        if before > RETRIES:
            raise NoProgress(
                f"{before} tries in a row ended without progress, the most allowed; see why in"
                " their logs, or in Airflow's own if their processes were killed, then clear this"
                " task to go on"
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
    """Tries a task again for as long as its tries make progress; rules come first."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Fail a task whose last tries, with this one, were in vain."""
        if context is not None and Tries(context).in_vain > RETRIES:
            return RetryDecision.fail(f"{RETRIES + 1} tries in a row without progress")
        return super().evaluate(exception, try_number, max_tries, context)
