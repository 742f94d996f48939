"""The params of maintenance: how long to keep calls and results, and which job to forget."""

from typing import Annotated

from retrofill.params.base import Params, field
from retrofill.params.texts import BLANK

_LONGEST_DAYS = 36_500
_LONGEST_NAME = 1_500
_NAME = "the exact name of a job, as in retrofill.v_run"
_MAINTENANCE = "Maintenance"


class MaintenanceParams(Params):
    """What maintenance keeps."""

    job: Annotated[str | None, BLANK] = field(
        _MAINTENANCE,
        "Job",
        "Only this job: its exact name. Empty: all jobs.",
        allowed=_NAME,
        form={"maxLength": _LONGEST_NAME},
        default=None,
        examples=["thumbnails"],
    )
    keep_calls_days: int | None = field(
        _MAINTENANCE,
        "Keep calls",
        "Days to keep call records after their run was closed. The counts of runs stay. Empty:"
        " forever.",
        default=90,
        ge=1,
        le=_LONGEST_DAYS,
        examples=[90],
    )
    keep_results_days: int | None = field(
        _MAINTENANCE,
        "Keep results",
        "Days to remember that an item was processed. **Forgotten items are new again: the next"
        " run that lists them calls the function with them.** Empty: forever.",
        default=None,
        ge=1,
        le=_LONGEST_DAYS,
        examples=[365],
    )


class ForgetParams(Params):
    """Which job to forget."""

    job: str = field(
        _MAINTENANCE,
        "Job",
        "The exact name of the job to forget, as shown in the tab of its runs and in"
        " retrofill.v_run. **All its items are new again.** Its runs, calls, results and"
        " quarantine are deleted permanently. Refused while a run of it is open.",
        allowed=_NAME,
        form={"maxLength": _LONGEST_NAME},
        min_length=1,
        examples=["thumbnails"],
    )
