"""Job files: recurring backfills, one YAML file each; ``python -m include.retrofill.jobs``."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import yaml
from croniter import croniter
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from include.retrofill.model.config import RunConfig
from include.retrofill.model.errors import ConfigError

FOLDER = Path(__file__).parents[1] / "jobs"

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")


@dataclass(frozen=True, slots=True)
class Job:
    """What one job file asks for."""

    name: str
    """The file's name, without its ending."""

    problems: tuple[str, ...] = ()
    """What is wrong with the file, each with file and line; the rest is of use only without any."""

    schedule: str = ""
    """A cron expression or a preset."""

    start_date: datetime | None = None
    catchup: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the DAG's params, as they stand in the file."""


def load_jobs(folder: Path = FOLDER) -> list[Job]:
    """Read every job file of a folder; one that is wrong does not hide the others."""
    return [load_job(path) for path in sorted(folder.glob("*.yaml"))]


def load_job(path: Path) -> Job:
    """Read one job file; what is wrong with it is in the job's ``problems``."""
    try:
        lines = _Lines(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path.name}:{mark.line + 1}" if mark else path.name
        said = getattr(error, "problem", None) or error
        return Job(path.stem, (f"{at}: it is not YAML ({said})",))
    try:
        asked = _JobFile.model_validate(lines.value)
    except ValidationError as error:
        problems = [_sentence(details, lines) for details in error.errors(include_url=False)]
        params = lines.value.get("params")
        problems += _problems_of(params, lines) if isinstance(params, dict) else []
        return Job(path.stem, tuple(problems))
    return Job(
        path.stem,
        tuple(_problems_of(asked.params, lines)),
        asked.schedule,
        datetime.combine(asked.start_date, time(), UTC),
        asked.catchup,
        _as_json(asked.params),
    )


def main() -> int:
    """Check the job files of this project, or of the folder named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    jobs = load_jobs(folder)
    problems = [problem for job in jobs for problem in job.problems]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{len(jobs)} job files, {len(problems)} problems\n")
    return 1 if problems else 0


def _known_schedule(schedule: str) -> str:
    cron = not schedule.startswith("@") and croniter.is_valid(schedule)
    if cron or schedule in _PRESETS:
        return schedule
    raise ValueError(f"allowed is a cron expression or one of {', '.join(_PRESETS)}")


class _JobFile(BaseModel):
    """The fields of a job file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    schedule: Annotated[str, AfterValidator(_known_schedule)]
    start_date: date
    catchup: bool = False
    params: dict[str, Any]


class _Lines:
    """A YAML file: its value, and the line of each of its fields.

    :raises yaml.YAMLError: it is not YAML, or names a field twice
    """

    def __init__(self, path: Path) -> None:
        self._file = path.name
        text = path.read_text(encoding="utf-8")
        self._line_of: dict[str, int] = {}
        self.value: dict[str, Any] = {}
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            return
        self._note(root)
        self.value = yaml.safe_load(text)

    def _note(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.value in self._line_of:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands twice", problem_mark=key.start_mark
                )
            self._line_of[key.value] = key.start_mark.line + 1
            if key.value == "params" and isinstance(value, yaml.MappingNode):
                self._note(value)

    def say(self, name: str, what: str) -> str:
        """Return a sentence about a field, with file and line."""
        return f"{self._file}:{self._line_of.get(name, 1)}: {name}: {what}"


def _problems_of(params: dict[str, Any], lines: _Lines) -> list[str]:
    try:
        RunConfig.from_params(_as_json(params))
    except ConfigError as error:
        parts = [problem.partition(": ") for problem in error.problems]
        return [lines.say(name, what) for name, _, what in parts]
    return []


def _sentence(details: ErrorDetails, lines: _Lines) -> str:
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        allowed = ", ".join(_JobFile.model_fields)
        return lines.say(name, f"there is no such field; allowed are {allowed}")
    if details["type"] == "missing":
        return lines.say(name, "it is missing")
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "allowed is")
    return lines.say(name, f"{details['input']!r}; {message}")


def _as_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params as a trigger would give them: YAML knows times, JSON does not."""
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in params.items()
    }


if __name__ == "__main__":
    sys.exit(main())
