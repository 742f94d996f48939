"""Exit codes of commands, for scripts."""

from enum import IntEnum

from retrofill.model.errors import (
    AirflowRefused,
    AirflowUnreachable,
    ConfigError,
    NoSuchRun,
    RetrofillError,
    StateError,
)


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    """Done. For a run: it is complete."""

    INCOMPLETE = 1
    """Work is missing: the run is open or incomplete, was refused, or its plan was rejected."""

    BAD_INPUT = 2
    """The input is not allowed; nothing was changed."""

    UNREACHABLE = 3
    """The state or Airflow cannot be reached, or cannot be used as it is."""

    REFUSED = 4
    """Airflow refuses: you are not signed in, or you may not do this."""


def exit_of(error: RetrofillError) -> Exit:
    """Return the exit code of a command that an error ended."""
    match error:
        case ConfigError() | NoSuchRun():
            return Exit.BAD_INPUT
        case AirflowRefused():
            return Exit.REFUSED
        case AirflowUnreachable() | StateError():
            return Exit.UNREACHABLE
        case _:
            return Exit.INCOMPLETE
