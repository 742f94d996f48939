"""The series of Airflow: what differs between 3.1, 3.2 and 3.3, and what the older ones lack.

No other module asks which Airflow it runs on. What one of them lacks is done here in another way,
or is a sentence of :func:`shortcomings`.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import airflow

OLDEST, NEWEST = (3, 1), (3, 3)
SERIES = tuple(map(int, airflow.__version__.split(".")[:2]))

if SERIES < OLDEST:
    raise ImportError(
        f"Retrofill runs on Airflow 3.1 to 3.3, and this is Airflow {airflow.__version__}"
    )

# What a type checker knows is the newest; the others are run by `make versions`.
if TYPE_CHECKING or SERIES >= (3, 2):
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
        AirflowTaskTerminated,
        DownstreamTasksSkipped,
    )
else:
    from airflow.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
        AirflowTaskTerminated,
        DownstreamTasksSkipped,
    )
    from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING or SERIES >= (3, 3):
    from airflow.sdk import (
        BaseOperator,
        Context,
        ExceptionRetryPolicy,
        RetryAction,
        RetryDecision,
        RetryRule,
    )
else:
    from dataclasses import dataclass
    from enum import Enum

    from airflow.sdk import BaseOperator as _BaseOperator
    from airflow.sdk import Context

    class RetryAction(Enum):
        """What becomes of a task whose try has failed."""

        FAIL = "fail"
        DEFAULT = "default"

    @dataclass(frozen=True)
    class RetryDecision:
        """What becomes of a task, and why."""

        action: RetryAction = RetryAction.DEFAULT
        reason: str = ""

        @classmethod
        def fail(cls, reason: str = "") -> "RetryDecision":
            """Return that it is not tried again."""
            return cls(RetryAction.FAIL, reason)

    @dataclass(frozen=True)
    class RetryRule:
        """What becomes of a task that fails with an error of this class, by its name or itself."""

        exception: str | type[BaseException]
        action: RetryAction

        def fits(self, error: BaseException) -> bool:
            """Return whether the error is one of them."""
            names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
            if isinstance(self.exception, str):
                return self.exception in names
            return isinstance(error, self.exception)

    class ExceptionRetryPolicy:
        """Decides by the error whether a task is tried again: the first rule that fits."""

        def __init__(self, rules: Sequence[RetryRule]) -> None:
            self.rules = rules

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
        ) -> RetryDecision:
            """Return what becomes of a task that has failed with this error."""
            del try_number, max_tries, context
            fitting = (rule.action for rule in self.rules if rule.fits(exception))
            return RetryDecision(next(fitting, RetryAction.DEFAULT))

    def _judged(execute: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(execute)
        def judged(self: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return execute(self, context, *args, **kwargs)
            except Exception as error:
                ti, policy = context["ti"], self.retry_policy
                if policy is not None:
                    found = policy.evaluate(error, ti.try_number, ti.max_tries, context)
                    if found.action is RetryAction.FAIL:
                        raise AirflowFailException(found.reason or str(error)) from error
                raise

        return judged

    class BaseOperator(_BaseOperator):
        """An operator that obeys a retry policy, which these Airflows do not know."""

        def __init__(
            self, *, retry_policy: ExceptionRetryPolicy | None = None, **kwargs: Any
        ) -> None:
            super().__init__(**kwargs)
            self.retry_policy = retry_policy

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            for name in {"execute", "execute_complete"} & vars(cls).keys():
                setattr(cls, name, _judged(vars(cls)[name]))


__all__ = [
    "AirflowNotFoundException",
    "AirflowSkipException",
    "AirflowTaskTerminated",
    "BaseOperator",
    "Context",
    "CronDataIntervalTimetable",
    "DownstreamTasksSkipped",
    "ExceptionRetryPolicy",
    "RetryAction",
    "RetryDecision",
    "RetryRule",
]

BACKOFF: Any = 2.0 if SERIES >= (3, 2) else True
"""Each wait before a try is twice the one before: ``retry_exponential_backoff``."""

RETRIES_WITHOUT_NOTES = 20
"""How often a task is tried again where nothing tells which of its tries made progress."""


def notes_of(context: Context) -> Any:
    """Return the store in which Airflow keeps what a try notes for the next; None: it keeps none.

    Before 3.3 a task has XComs alone, and each try begins without those of the one before.
    """
    return context["task_state_store"] if SERIES >= (3, 3) else None


def keeps_notes() -> bool:
    """Return whether a try can note something for the next."""
    return SERIES >= (3, 3)


def is_paused(context: Context, dag_id: str) -> bool:
    """Return whether a DAG is switched off, as far as a task can be told: not before 3.2."""
    return SERIES >= (3, 2) and bool(context["ti"].get_dag(dag_id).is_paused)


def let_wait(operator: Any, time: timedelta) -> None:
    """Have a task that is about to ask a person wait for so long."""
    # Before 1.12.2 of the provider, what limits the process limits the wait, too.
    knows = hasattr(operator, "response_timeout")
    setattr(operator, "response_timeout" if knows else "execution_timeout", time)


_LACKING = {
    f"keeps no notes between tries: a task is tried again at most {RETRIES_WITHOUT_NOTES} times,"
    " even if each try makes progress": (3, 3),
    "leaves it to its triggerer to wait for an approval: one must run": (3, 3),
    "does not tell a task that its pod is about to end: calls under way then count as lost, and are"
    " made again": (3, 3),
    "does not tell a task whether a DAG is switched off: nobody is notified that a run waits for"
    " its DAG": (3, 2),
    "opens the wrong page for a DAG run with ?, # or % in its id": (3, 2),
}
"""What an Airflow cannot do, with what follows, and the series since which it can."""


def shortcomings(series: tuple[int, ...] = SERIES) -> list[str]:
    """Return what this Airflow cannot do that the newest can, one sentence each."""
    name = f"Airflow {'.'.join(map(str, series))}"
    if series > NEWEST:
        return [f"Retrofill is not tested with {name}: the newest it is tested with is 3.3."]
    return [f"{name} {lacks}." for lacks, since in _LACKING.items() if series < since]
