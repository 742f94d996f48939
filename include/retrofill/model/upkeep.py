"""What a person can ask of the upkeep: how long calls and results are kept, and what to forget."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrofill.model.blank import BLANK
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted

_LONGEST_DAYS = 36_500
_LONGEST_NAME = 1_500
_ALLOWED = {
    "job": "the exact name of a job, as retrofill.v_run has it",
    "keep_calls_days": f"a whole number of days from 1 to {_LONGEST_DAYS:,}, or nothing",
    "keep_results_days": f"a whole number of days from 1 to {_LONGEST_DAYS:,}, or nothing",
}


class _Params(BaseModel):
    """Params of a DAG, each with all that its form shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return what a DAG run's params ask for.

        :raises ConfigError: everything that is wrong with them, one sentence each
        """
        try:
            return cls.model_validate(params)
        except ValidationError as error:
            wrong = {str(details["loc"][0]): details["input"] for details in error.errors()}
        allowed = ", ".join(cls.model_fields)
        raise ConfigError(
            *(
                f"{name}: {quoted(value)}; allowed is {_ALLOWED[name]}"
                if name in cls.model_fields
                else f"{quoted(name)}: there is no such param; those there are: {allowed}"
                for name, value in wrong.items()
            )
        )

    @classmethod
    def form_fields(cls) -> dict[str, dict[str, Any]]:
        """Return, for each field, what makes an Airflow ``Param`` of it, as plain values."""
        return {
            name: {
                "default": None if field.is_required() else field.default,
                "title": field.title,
                "description_md": field.description,
                **(field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}),
            }
            for name, field in cls.model_fields.items()
        }


_DAYS: dict[str, Any] = {"type": ["null", "integer"], "minimum": 1, "maximum": _LONGEST_DAYS}
_NAME: dict[str, Any] = {"minLength": 1, "maxLength": _LONGEST_NAME}


class UpkeepConfig(_Params):
    """What the upkeep keeps."""

    job: Annotated[str | None, BLANK] = Field(
        None,
        title="Job",
        description="Only this job: its exact name. Empty: all jobs.",
        json_schema_extra={"type": ["null", "string"], "maxLength": _LONGEST_NAME},
    )
    keep_calls_days: int | None = Field(
        90,
        ge=1,
        le=_LONGEST_DAYS,
        title="Keep calls",
        description="Days for which the rows of calls are kept after their run was closed. The"
        " counts of runs stay. Empty: for ever.",
        json_schema_extra={**_DAYS},
    )
    keep_results_days: int | None = Field(
        None,
        ge=1,
        le=_LONGEST_DAYS,
        title="Keep results",
        description="Days for which it is remembered that an object was processed. **What is"
        " forgotten is new again: the next run that lists the object calls the function with it"
        " once more.** Empty: for ever.",
        json_schema_extra={**_DAYS},
    )


class ForgetConfig(_Params):
    """Which job to forget."""

    job: str = Field(
        min_length=1,
        title="Job",
        description="The exact name of the job to forget, as the tab of its runs and"
        " retrofill.v_run have it. **All its objects are new again**; its runs, calls, results"
        " and quarantine are deleted for good. Refused while a run of it is open.",
        json_schema_extra={"type": "string", **_NAME},
    )
