"""The versions of Airflow: the differences between 3.1, 3.2 and 3.3.

No other module depends on the version. If a version lacks a feature, this module replaces it, or
:func:`shortcomings` has a sentence about it.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import airflow

OLDEST, NEWEST = (3, 1), (3, 3)
SERIES = tuple(map(int, airflow.__version__.split(".")[:2]))

if SERIES < OLDEST:
    raise ImportError(
        f"Retrofill runs on Airflow 3.1 to 3.3, and this is Airflow {airflow.__version__}"
    )

# The type checker sees the newest version; `make versions` runs the others.
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
    from airflow.sdk.observability import stats
else:
    if SERIES >= (3, 2):
        from airflow.sdk.observability.stats import Stats as stats  # noqa: N813
    else:
        from airflow.stats import Stats as stats  # noqa: N813
    from dataclasses import dataclass
    from enum import Enum

    from airflow.sdk import BaseOperator as _BaseOperator
    from airflow.sdk import Context

    class RetryAction(Enum):
        """Like Airflow 3.3's: what to do with a failed task."""

        FAIL = "fail"
        DEFAULT = "default"

    @dataclass(frozen=True)
    class RetryDecision:
        """Like Airflow 3.3's: an action, and its reason."""

        action: RetryAction = RetryAction.DEFAULT
        reason: str = ""

        @classmethod
        def fail(cls, reason: str = "") -> "RetryDecision":
            """Return the decision not to retry."""
            return cls(RetryAction.FAIL, reason)

    @dataclass(frozen=True)
    class RetryRule:
        """Like Airflow 3.3's: the action for a class of errors, given by its full name."""

        exception: str
        action: RetryAction

    class ExceptionRetryPolicy:
        """Like Airflow 3.3's: the first rule for the class of an error decides."""

        def __init__(self, rules: Sequence[RetryRule]) -> None:
            self.rules = rules

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
        ) -> RetryDecision:
            """Return what to do with a task that has failed with this error."""
            del try_number, max_tries, context
            names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(exception).__mro__}
            fitting = (rule.action for rule in self.rules if rule.exception in names)
            return RetryDecision(next(fitting, RetryAction.DEFAULT))

    def _with_policy(execute: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(execute)
        def evaluated(self: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return execute(self, context, *args, **kwargs)
            except Exception as error:
                ti, policy = context["ti"], self.retry_policy
                if policy is not None:
                    found = policy.evaluate(error, ti.try_number, ti.max_tries, context)
                    if found.action is RetryAction.FAIL:
                        raise AirflowFailException(found.reason or str(error)) from error
                raise

        return evaluated

    class BaseOperator(_BaseOperator):
        """An operator that obeys a retry policy, which these versions of Airflow do not have."""

        def __init__(
            self, *, retry_policy: ExceptionRetryPolicy | None = None, **kwargs: Any
        ) -> None:
            super().__init__(**kwargs)
            self.retry_policy = retry_policy

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            # Also the methods with which a task continues after it was deferred.
            for name in [name for name in vars(cls) if name.startswith("execute")]:
                setattr(cls, name, _with_policy(vars(cls)[name]))


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
    "stats",
]

BACKOFF: Any = 2.0 if SERIES >= (3, 2) else True
"""``retry_exponential_backoff``: each delay is twice the one before."""

RETRIES_WITHOUT_NOTES = 20
"""The number of retries if Airflow does not keep which tries made progress."""


def notes_of(context: Context) -> Any:
    """Return Airflow's store for notes from one try to the next; None: it has no such store.

    Before 3.3 a task only has XComs, and each try starts without those of the one before.
    """
    return context["task_state_store"] if SERIES >= (3, 3) else None


def keeps_notes() -> bool:
    """Return whether a try can leave notes for the next one."""
    return SERIES >= (3, 3)


def is_paused(context: Context, dag_id: str) -> bool:
    """Return whether a DAG is paused; always False before 3.2, where a task cannot know."""
    return SERIES >= (3, 2) and bool(context["ti"].get_dag(dag_id).is_paused)


def events_since(context: Context, alias: Any, since: datetime) -> Sequence[Any]:
    """Return the events, since a given time, of an asset alias that is an inlet of the task."""
    events = context["inlet_events"][alias]
    if SERIES >= (3, 2):
        found: Sequence[Any] = events.after(since.isoformat())
        return found
    return [event for event in events if event.timestamp >= since]


def teams_of(dag_ids: Collection[str]) -> dict[str, str | None]:
    """Return the team of each DAG; only for processes that can read Airflow's database."""
    from airflow.models import DagModel  # noqa: PLC0415  tasks import this module without models

    if SERIES >= (3, 2):
        return DagModel.get_dag_id_to_team_name_mapping(list(dag_ids)) if dag_ids else {}
    return {dag_id: DagModel.get_team_name(dag_id) for dag_id in dag_ids}


def let_wait(operator: Any, time: timedelta) -> None:
    """Set how long an approval task waits for an answer."""
    # Before 1.12.2 of the provider, the execution timeout also limits the wait.
    has_own = hasattr(operator, "response_timeout")
    setattr(operator, "response_timeout" if has_own else "execution_timeout", time)


_LACKING = {
    f"keeps no notes between tries: a task is retried at most {RETRIES_WITHOUT_NOTES} times, even"
    " if each try makes progress": (3, 3),
    "needs a running triggerer to wait for an approval": (3, 3),
    "does not notify a task that its pod is about to end: its calls in flight count as lost, and"
    " are repeated": (3, 3),
    "starts the DAG run of a further set after DAG runs that were triggered meanwhile": (3, 3),
    "does not let a task see whether a DAG is paused: no notification says that a run waits for"
    " its DAG": (3, 2),
    "accepts no note for the DAG run of a further set: it has none until it ends": (3, 2),
    "opens the wrong page for a DAG run with ?, # or % in its id": (3, 2),
}
"""The lack of each feature in older versions of Airflow, and the version that has the feature."""


def shortcomings(series: tuple[int, ...] = SERIES) -> list[str]:
    """Return the features that this Airflow lacks and the newest has, one sentence each."""
    name = f"Airflow {'.'.join(map(str, series))}"
    if series > NEWEST:
        return [f"Retrofill is not tested with {name}: the newest it is tested with is 3.3."]
    return [f"{name} {lacks}." for lacks, since in _LACKING.items() if series < since]
