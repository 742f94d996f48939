"""Exit codes: what a script learns of a command without reading what it says."""

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
    """Done; of a run that was asked about: it is complete."""

    INCOMPLETE = 1
    """Work is missing: the run is open or incomplete, was refused, or its plan was rejected."""

    BAD_INPUT = 2
    """What was asked for cannot be done; nothing was changed."""

    UNREACHABLE = 3
    """The state or Airflow cannot be reached, or not be used as it is."""

    REFUSED = 4
    """Airflow refuses: nobody is signed in, or who is may not do this."""


_EXITS: tuple[tuple[type[RetrofillError], Exit], ...] = (
    (ConfigError, Exit.BAD_INPUT),
    (NoSuchRun, Exit.BAD_INPUT),
    (AirflowRefused, Exit.REFUSED),
    (AirflowUnreachable, Exit.UNREACHABLE),
    (StateError, Exit.UNREACHABLE),
)


def exit_of(error: RetrofillError) -> Exit:
    """Return how a command ends that an error has broken off."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.INCOMPLETE)
