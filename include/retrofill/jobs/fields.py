"""The fields of a job file, and their allowed values."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from croniter import CroniterBadDateError, croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from retrofill.sources import SOURCES

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
NONE = "none"

_CRON_FIELDS = 5
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[!-~]+")
_ALLOWED = (
    f"give a cron expression of {_CRON_FIELDS} fields, one of {', '.join(PRESETS)}, {NONE}, or"
    " assets: with a list of URIs"
)


def _known_schedule(value: object) -> object:
    if isinstance(value, dict) and value.keys() == {"assets"}:
        return _known_assets(value["assets"])
    if not isinstance(value, str):
        raise ValueError(_ALLOWED)  # noqa: TRY004  pydantic reports only a ValueError as a problem
    return value if value in {NONE, *PRESETS} else _known_cron(value)


def _known_assets(assets: object) -> list[str]:
    if not isinstance(assets, list) or not assets:
        raise ValueError("give a list of URIs in assets:")
    for uri in assets:
        if not isinstance(uri, str) or not _URI.fullmatch(uri):
            raise ValueError(
                f"give URIs in ASCII, such as retrofill://jobs/thumbnails, not {uri!r}"
            )
    return assets


def _known_cron(schedule: str) -> str:
    fields = schedule.split()
    # In croniter, R and H mean a random time: another one each time the file is read.
    random = any(part[:1] in "RrHh" for field in fields for part in field.split(","))
    if len(fields) != _CRON_FIELDS or random or not croniter.is_valid(schedule):
        raise ValueError(_ALLOWED)
    try:
        croniter(schedule, datetime(2000, 1, 1)).get_next()  # noqa: DTZ001  any date
    except CroniterBadDateError:
        raise ValueError("give a time that exists; this one never comes") from None
    return schedule


def _known_source(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"give one of {', '.join(SOURCES)}")
    return source


def _date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    raise ValueError("give a date, such as 2026-01-01")


_SCHEDULE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": [NONE, *PRESETS]},
        {"type": "string", "pattern": rf"^\S+( +\S+){{{_CRON_FIELDS - 1}}}$"},
        {
            "type": "object",
            "properties": {
                "assets": {
                    "description": "The job runs when all of these have been updated.",
                    "type": "array",
                    "items": {"type": "string", "pattern": f"^{_URI.pattern}$"},
                    "minItems": 1,
                }
            },
            "required": ["assets"],
            "additionalProperties": False,
        },
    ]
}


class Fields(BaseModel):
    """The fields of a job file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: Annotated[
        str,
        AfterValidator(_known_source),
        Field(
            description="The kind of source to list.",
            json_schema_extra={"enum": list(SOURCES)},
        ),
    ]
    schedule: Annotated[
        str | list[str],
        BeforeValidator(_known_schedule),
        WithJsonSchema(_SCHEDULE_SCHEMA),
        Field(
            description="When the job runs: a cron expression or a preset, in UTC; none: only when"
            " you trigger it; or the assets that trigger it when they are updated."
        ),
    ]
    start_date: Annotated[
        date | None,
        BeforeValidator(_date),
        WithJsonSchema({"type": "string", "format": "date"}),
        Field(
            description="The start of the first interval. Required for a cron expression or preset."
        ),
    ] = None
    catchup: Annotated[
        bool,
        Field(
            description="Whether to run for each interval since start_date when you unpause the"
            " DAG."
        ),
    ] = False
    params: Annotated[
        dict[str, Any], Field(description="The params of the run, as in the trigger form.")
    ]

    @property
    def times(self) -> str:
        """The cron expression or preset; empty: none."""
        return self.schedule if isinstance(self.schedule, str) and self.schedule != NONE else ""

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets that trigger it when they are updated."""
        return tuple(self.schedule) if isinstance(self.schedule, list) else ()

    @property
    def start(self) -> datetime | None:
        """The start date as a time in UTC."""
        return datetime.combine(self.start_date, time(), UTC) if self.start_date else None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that contradict the schedule, each with what is wrong."""
        if self.times and self.start_date is None:
            yield "start_date", "it is missing; a cron expression or preset requires it"
        if self.catchup and not self.times:
            yield "catchup", "True is not allowed without a cron expression or preset; give False"
