"""The tree of errors. The message of each error explains what to do.

This module has the errors that several layers use; the others are in the module that raises them.

RetrofillError
├── ConfigError            the request cannot be carried out as given; never retried
│   ├── FunctionChanged    the function has changed since the run was opened
│   └── _DeniedError       the role that makes a request lacks a permission
├── SourceError            the source could not be read; a retry may succeed
│   └── UnfitSource        the source is not as expected; never retried
├── FunctionUnavailable    function or live trigger could not be looked up; a retry may succeed
├── StateError             the Postgres state cannot be used as it is
│   ├── StateUnavailable   the server cannot be reached, or accepts no writes now
│   │   ├── StateFull      the server, or its pooler, has no connection left
│   │   └── StateLocked    another session held a lock for longer than the timeout
│   ├── StateNotConfigured Airflow has no usable connection to it; never retried
│   ├── StateUnfit         server, database or role lacks something required; never retried
│   ├── SchemaMismatch     the schema is missing or of another version; never retried
│   ├── NoSuchRun          the state has no run with this number
│   ├── Busy               another holder has the batch, and renews its lease
│   └── LeaseLost          another holder has taken over the batch
├── FunctionUnusable       the function refuses every call; the run stops, and is never retried
├── NoProgress             too many tries of a task in a row made no progress; never retried
├── Interrupted            a task was asked to end before its work was done; a retry continues
├── NotNotified            the notification was not accepted; a retry may succeed
├── AirflowUnreachable     Airflow's REST API does not answer
├── AirflowRefused         Airflow's REST API refuses the user
├── NotWritten             report files could not be written; a retry may succeed
├── InjectedError          a fault point raised it, as a test requested
└── RunIncomplete          the run ended with items or partitions left; a new run resumes
"""


class RetrofillError(Exception):
    """The base class of everything that Retrofill raises on purpose."""


class ConfigError(RetrofillError):
    """The request cannot be carried out as given, and a retry would not help.

    :param problems: one sentence for each problem, naming the field
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class FunctionChanged(ConfigError):
    """The function has changed since the run was opened, so the run stops."""


class SourceError(RetrofillError):
    """The source could not be read; a retry may succeed."""


class UnfitSource(SourceError):
    """The source can be read but is not as expected; a retry would not help."""


class FunctionUnavailable(RetrofillError):
    """The function or its live trigger could not be looked up; a retry may succeed."""


class StateError(RetrofillError):
    """The Postgres state cannot be used as it is.

    :param what: what is wrong
    :param todo: what to do about it; empty: unknown
    :param text: text to copy, such as SQL or a variable; empty: nothing
    """

    def __init__(self, what: str, todo: str = "", text: str = "") -> None:
        self.what, self.todo, self.text = what, todo, text
        super().__init__("\n".join(filter(None, (what, todo and f"What to do: {todo}", text))))


class StateUnavailable(StateError):
    """The Postgres server of the state cannot be reached, or cannot answer the request."""


class StateFull(StateUnavailable):
    """The server, or its pooler, has no connection left."""


class StateLocked(StateUnavailable):
    """Another session held a lock for longer than the timeout; a retry may succeed."""


class StateNotConfigured(StateError):
    """Airflow has no usable connection to the state."""


class StateUnfit(StateError):
    """The server, database or role of the state lacks something required."""


class SchemaMismatch(StateError):
    """The state's schema is missing or of another version than this code."""


class NoSuchRun(StateError):
    """The state has no run with this number."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"run {run_id} is not in the state")


class LeaseLost(StateError):
    """Another holder has taken over the batch, so this one must stop calling."""


class FunctionUnusable(RetrofillError):
    """The function refuses calls, and will do so until someone fixes the cause."""


class Interrupted(RetrofillError):
    """The task was asked to end before its work was done; its next try continues."""


class NoProgress(RetrofillError):
    """Too many tries of a task made no progress; find the cause in their logs."""


class NotNotified(RetrofillError):
    """The notification of a run was not accepted by its target; a retry may succeed."""


class AirflowUnreachable(RetrofillError):
    """Airflow's REST API does not answer, or reports an error of its own."""


class AirflowRefused(RetrofillError):
    """Airflow's REST API refuses the user, who is not signed in or lacks the permission."""


class NotWritten(RetrofillError):
    """Report files could not be written to their destination; a retry may succeed."""


class RunIncomplete(RetrofillError):
    """The run ended with items or partitions left; a new run of the job resumes."""


FINAL = (
    ConfigError,
    FunctionUnusable,
    NoProgress,
    RunIncomplete,
    SchemaMismatch,
    StateNotConfigured,
    StateUnfit,
    UnfitSource,
)
"""Errors that a retry would only repeat."""
