"""Job files: recurring backfills, one YAML file each; ``retrofill check-jobs`` checks them.

The folder may hold files of others: a job file is told by its name, which is its DAG's id.
"""

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from retrofill.config import params_for
from retrofill.jobs.fields import Fields
from retrofill.jobs.lines import Lines
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.sources import SOURCES, Interval

FOLDER = Path(__file__).parents[2] / "jobs"
"""Where job files are unless a setting says otherwise: beside the package, as in ``include/``."""

JOBS_FOLDER = "retrofill_jobs_folder"
"""The DAG that says what is wrong with the setting."""

_OURS = "retrofill_"
"""What the name of a job file, and so that of its DAG, begins with."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.\-]")
_TAKEN = {"retrofill_maintenance", "retrofill_forget", "retrofill_migrate", JOBS_FOLDER}
"""The names of our other DAGs, but for those of the kinds of sources."""


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
    """A cron expression or a preset; empty: it runs when it is triggered."""

    assets: tuple[str, ...] = ()
    """The URIs of the assets whose updates trigger it."""

    start_date: datetime | None = None
    catchup: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the DAG's params, as they stand in the file."""


def folder_of(told: str | None) -> Path:
    """Return the folder of the job files.

    :param told: what Airflow's setting ``[retrofill] jobs_folder`` says; empty: nothing
    :raises ConfigError: it is not the absolute path of a folder
    """
    if not told:
        return FOLDER
    folder = Path(told).expanduser()
    if not (folder.is_absolute() and folder.is_dir()):
        raise ConfigError(
            f"Airflow's setting [retrofill] jobs_folder is {quoted(told)}: allowed is the absolute"
            " path of a folder that is there, on each machine that reads DAG files or runs tasks"
        )
    return folder


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
    if name in _TAKEN | {f"{_OURS}{kind.name}" for kind in SOURCES.values() if kind.about}:
        taken = f"{path.name}: {name} is the name of another DAG; choose another name"
        return JobFile(f"{name}_job", (taken,))
    try:
        lines = Lines(path)
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
        asked = Fields.model_validate(lines.value)
    except ValidationError as error:
        problems = [_sentence(details, lines) for details in error.errors(include_url=False)]
        params = lines.value.get("params")
        source = lines.value.get("source")
        if isinstance(params, dict) and isinstance(source, str) and source in SOURCES:
            problems += _problems_of(source, params, lines)
        return JobFile(name, tuple(problems))
    problems = [lines.say(*problem) for problem in asked.contradictions()]
    problems += _problems_of(asked.source, asked.params, lines)
    if asked.assets and not problems:
        problems += _without_interval(asked, lines)
    return JobFile(
        name,
        tuple(problems),
        asked.source,
        asked.times,
        asked.assets,
        datetime.combine(asked.start_date, time(), UTC) if asked.start_date else None,
        asked.catchup,
        asked.params,
    )


def others(folder: Path = FOLDER) -> list[str]:
    """Return the names of the YAML files of a folder that are no job files."""
    return [path.name for path in _yaml_files(folder) if not path.name.startswith(_OURS)]


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.y*ml"))


def _problems_of(source: str, params: dict[str, Any], lines: Lines) -> list[str]:
    given = {str(name): value for name, value in params.items()}
    problems = params_for(source).problems(given)
    return [lines.say_of_param(*problem) for problem in problems]


def _without_interval(asked: Fields, lines: Lines) -> Iterator[str]:
    """Find that a run for an interval is asked for, which an asset does not give."""
    try:
        params_for(asked.source).config(asked.params).source.window(Interval(None, None))
    except ConfigError as error:
        for problem in error.problems:
            name, _, what = problem.partition(": ")
            yield lines.say_of_param(name, what)


def _sentence(details: ErrorDetails, lines: Lines) -> str:
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        allowed = ", ".join(Fields.model_fields)
        return lines.say(name, f"there is no such field; allowed are {allowed}")
    if details["type"] == "missing":
        return lines.say(name, "it is missing")
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "allowed is")
    return lines.say(name, f"{reprlib.repr(details['input'])}; {message}")
