"""What can go wrong, as a tree; the message of each error says what to do.

Here are the errors that several layers know; the others stand in the module that raises them.

RetrofillError
├── ConfigError            what a person asked for cannot be done; never retried
│   ├── FunctionChanged    the function is not what it was when the run was opened
│   └── _DeniedError       a request is denied to the role that makes it
├── SourceError            the source could not be read; worth another try
│   └── UnfitSource        the source is not what it should be; never retried
├── FunctionUnavailable    function or live trigger could not be looked up; worth another try
├── StateError             the Postgres state cannot be used as it is
│   ├── StateUnavailable   the server cannot be reached, or takes no writes now
│   │   ├── StateFull      the server, or the pooler before it, has no connection left
│   │   └── StateLocked    others hold a lock for longer than it is waited for
│   ├── StateNotConfigured Airflow has no connection to it that can be used; never retried
│   ├── StateUnfit         server, database or role cannot do what is needed; never retried
│   ├── SchemaMismatch     the schema is missing or of another version; never retried
│   ├── NoSuchRun          the state knows no run of that number
│   ├── Busy               another holder has the batch, and is not silent
│   └── LeaseLost          another holder has taken over what this one held
├── FunctionUnusable       the function refuses every call; the run stops, and is never retried
├── NoProgress             a task was tried too often in a row in vain; never tried again
├── Interrupted            a task was told to end before its work was done; another try goes on
├── NotNotified            the notification was not taken; another try may be
├── AirflowUnreachable     Airflow's REST API does not answer
├── AirflowRefused         Airflow's REST API refuses whoever asks
├── NotWritten             report files could not be written; another try may succeed
├── InjectedError          a fault point was told to raise it; only tests do that
└── RunIncomplete          the run ended with items or partitions left; a new run resumes
"""


class RetrofillError(Exception):
    """The root of everything Retrofill raises on purpose."""


class ConfigError(RetrofillError):
    """A person must change something before this can be done; another try would not help.

    :param problems: one sentence for each thing that is wrong, naming the field
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class FunctionChanged(ConfigError):
    """The function is not what it was when the run was opened, which therefore stops."""


class SourceError(RetrofillError):
    """The source could not be read; another try may succeed."""


class UnfitSource(SourceError):
    """The source can be read, and is not what it should be: a person must change something."""


class FunctionUnavailable(RetrofillError):
    """The function or its live trigger could not be looked up; another try may succeed."""


class StateError(RetrofillError):
    """The Postgres state cannot be used as it is."""


class StateUnavailable(StateError):
    """The Postgres server of the state cannot be reached, or cannot do now what it is asked."""


class StateFull(StateUnavailable):
    """The server, or the pooler before it, has no connection left."""


class StateLocked(StateUnavailable):
    """Others hold a lock for longer than it is waited for; another try may succeed."""


class StateNotConfigured(StateError):
    """Airflow has no connection to the state, or one that cannot be used."""


class StateUnfit(StateError):
    """The server, the database or the role of the state cannot do what is needed."""


class SchemaMismatch(StateError):
    """The state's schema is missing or of another version than this code."""


class NoSuchRun(StateError):
    """The state knows no run of that number."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"run {run_id} is not in the state")


class LeaseLost(StateError):
    """Another holder has taken over what this one held; it must stop calling."""


class FunctionUnusable(RetrofillError):
    """The function refuses calls, and would refuse them again; a person must change something."""


class Interrupted(RetrofillError):
    """The task was told to end before its work was done; another try goes on with it."""


class NoProgress(RetrofillError):
    """A task was tried again and again without progress; a person must see why."""


class NotNotified(RetrofillError):
    """The notification of a run was not taken where it should go; another try may be."""


class AirflowUnreachable(RetrofillError):
    """Airflow's REST API does not answer, or says that it cannot."""


class AirflowRefused(RetrofillError):
    """Airflow's REST API refuses: nobody is signed in, or who is may not do this."""


class NotWritten(RetrofillError):
    """Report files could not be written where they should go; another try may succeed."""


class RunIncomplete(RetrofillError):
    """The run ended with items or partitions left over; a new run of the job resumes."""


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
"""The errors that another try would only repeat."""
