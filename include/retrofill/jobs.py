"""Job files: recurring backfills, one YAML file each; ``retrofill check-jobs`` checks them.

The folder may hold files of others: a job file is told by its name, which is its DAG's id.
"""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import yaml
from croniter import CroniterBadDateError, croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from retrofill.config import params_for
from retrofill.sources import SOURCES

FOLDER = Path(__file__).parents[1] / "jobs"

_OURS = "retrofill_"
"""What the name of a job file, and so that of its DAG, begins with."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.\-]")
_CRON_FIELDS = 5
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_TAKEN = ("retrofill_upkeep", "retrofill_forget")
"""The names of our other DAGs."""

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


@dataclass(frozen=True, slots=True)
class JobFile:
    """What one job file asks for."""

    name: str
    """The file's name without its ending, which is the id of the DAG."""

    problems: tuple[str, ...] = ()
    """What is wrong with the file, each with file and line; the rest is of use only without any."""

    source: str = next(iter(SOURCES))
    """The name of the source's kind; of a file that does not tell it, the first there is."""

    schedule: str = ""
    """A cron expression or a preset."""

    start_date: datetime | None = None
    catchup: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the DAG's params, as they stand in the file."""


def load_jobs(folder: Path = FOLDER) -> list[JobFile]:
    """Read every job file of a folder; one that is wrong does not hide the others."""
    return [load_job(path) for path in _yaml_files(folder) if path.name.startswith(_OURS)]


def load_job(path: Path) -> JobFile:
    """Read one job file; what is wrong with it is in the job's ``problems``."""
    # The name is part of the DAG's, even if that is there only to say what is wrong.
    name = _NOT_IN_NAMES.sub("_", path.stem if path.suffix == ".yaml" else path.name)
    if name != path.stem:
        allowed = "allowed are letters, digits, _, - and . with .yaml behind them"
        return JobFile(name, (f"{path.name}: it is called {path.name!r}; {allowed}",))
    if name in _TAKEN:
        taken = f"{path.name}: {name} is the name of another DAG; choose another name"
        return JobFile(f"{name}_job", (taken,))
    try:
        lines = _Lines(path)
    # PyYAML lets errors of Python through: a value that is not what its tag says, deep nesting.
    except (
        AttributeError,
        LookupError,
        OSError,
        RecursionError,
        ValueError,
        yaml.YAMLError,
    ) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path.name}:{mark.line + 1}" if mark else path.name
        said = getattr(error, "problem", None) or error
        return JobFile(name, (f"{at}: it is not YAML ({said})",))
    try:
        asked = _Fields.model_validate(lines.value)
    except ValidationError as error:
        problems = [_sentence(details, lines) for details in error.errors(include_url=False)]
        params = lines.value.get("params")
        source = lines.value.get("source")
        if isinstance(params, dict) and isinstance(source, str) and source in SOURCES:
            problems += _problems_of(source, params, lines)
        return JobFile(name, tuple(problems))
    return JobFile(
        name,
        tuple(_problems_of(asked.source, asked.params, lines)),
        asked.source,
        asked.schedule,
        datetime.combine(asked.start_date, time(), UTC),
        asked.catchup,
        asked.params,
    )


def others(folder: Path = FOLDER) -> list[str]:
    """Return the names of the YAML files of a folder that are no job files."""
    return [path.name for path in _yaml_files(folder) if not path.name.startswith(_OURS)]


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.y*ml"))


def _known_schedule(schedule: str) -> str:
    if schedule in _PRESETS:
        return schedule
    fields = schedule.split()
    # R and H are croniter's words for "at random": another time whenever the file is read.
    random = any(part[:1] in "RrHh" for field in fields for part in field.split(","))
    if len(fields) != _CRON_FIELDS or random or not croniter.is_valid(schedule):
        raise ValueError(
            f"allowed is a cron expression of {_CRON_FIELDS} fields or one of {', '.join(_PRESETS)}"
        )
    try:
        croniter(schedule, datetime(2000, 1, 1, tzinfo=UTC)).get_next()
    except CroniterBadDateError:
        raise ValueError("it never comes; allowed is a time that does") from None
    return schedule


def _known_source(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"allowed is one of {', '.join(SOURCES)}")
    return source


def _date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    raise ValueError("allowed is a date, such as 2026-01-01")


class _Fields(BaseModel):
    """The fields of a job file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: Annotated[str, AfterValidator(_known_source)]
    schedule: Annotated[str, AfterValidator(_known_schedule)]
    start_date: Annotated[date, BeforeValidator(_date)]
    catchup: bool = False
    params: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads a time as the text that it is, as JSON does: its field knows more of it."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Lines:
    """A YAML file: its value, and the line of each of its fields.

    :raises yaml.YAMLError: it is not YAML, or names a field twice
    """

    def __init__(self, path: Path) -> None:
        self._file = path.name
        self._line_of: dict[str, int] = {}
        self._line_of_param: dict[str, int] = {}
        self.value: dict[str, Any] = {}
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            if isinstance(root, yaml.MappingNode):
                self._note(root, self._line_of)
                self.value = loader.construct_document(root)
        finally:
            loader.dispose()

    def _note(self, node: yaml.MappingNode, lines: dict[str, int]) -> None:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a name was expected", problem_mark=key.start_mark
                )
            if key.value in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands twice", problem_mark=key.start_mark
                )
            lines[key.value] = key.start_mark.line + 1
            params = key.value == "params" and lines is self._line_of
            if params and isinstance(value, yaml.MappingNode):
                self._note(value, self._line_of_param)

    def say(self, name: str, what: str) -> str:
        """Return a sentence about a field, with file and line."""
        return f"{self._file}:{self._line_of.get(name, 1)}: {name}: {what}"

    def say_of_param(self, name: str, what: str) -> str:
        """Return a sentence about a param, with file and line; where all begin, if it misses."""
        line = self._line_of_param.get(name, self._line_of.get("params", 1))
        return f"{self._file}:{line}: {name}: {what}"


def _problems_of(source: str, params: dict[str, Any], lines: _Lines) -> list[str]:
    given = {str(name): value for name, value in params.items()}
    problems = params_for(source).problems(given)
    return [lines.say_of_param(*problem) for problem in problems]


def _sentence(details: ErrorDetails, lines: _Lines) -> str:
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        allowed = ", ".join(_Fields.model_fields)
        return lines.say(name, f"there is no such field; allowed are {allowed}")
    if details["type"] == "missing":
        return lines.say(name, "it is missing")
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "allowed is")
    return lines.say(name, f"{reprlib.repr(details['input'])}; {message}")
