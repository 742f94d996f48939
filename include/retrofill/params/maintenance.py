"""The params of maintenance: how long to keep calls and results, and which job to forget."""

from functools import partial
from typing import Annotated

from retrofill.params.base import Params, field
from retrofill.params.texts import BLANK

_MAINTENANCE = "Maintenance"
_job = partial(
    field,
    _MAINTENANCE,
    "Job",
    allowed="the exact name of a job, as in retrofill.v_run",
    form={"maxLength": 1_500},
    examples=["thumbnails"],
)
_days = partial(field, _MAINTENANCE, ge=1, le=36_500)


class MaintenanceParams(Params):
    """What maintenance keeps."""

    job: Annotated[str | None, BLANK] = _job(
        "Only this job: its exact name. Empty: all jobs.", default=None
    )
    keep_calls_days: int | None = _days(
        "Keep calls",
        "Days to keep call records after their run was closed. The counts of runs stay. Empty:"
        " forever.",
        default=90,
    )
    keep_results_days: int | None = _days(
        "Keep results",
        "Days to remember that an item was processed. **Forgotten items are new again: the next"
        " run that lists them calls the function with them.** Empty: forever.",
        default=None,
        examples=[365],
    )


class ForgetParams(Params):
    """Which job to forget."""

    job: str = _job(
        "The exact name of the job to forget, as shown in the tab of its runs and in"
        " retrofill.v_run. **All its items are new again.** Its runs, calls, results and"
        " quarantine are deleted permanently. Refused while a run of it is open.",
        min_length=1,
    )
