"""Job files: recurring backfills, one YAML file each; ``retrofill check-jobs`` checks them.

The folder may contain other files: the name of a job file starts with ``retrofill_``, and is the id
of its DAG.
"""

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
"""The default folder of job files: next to the package, as in ``include/``."""

JOBS_FOLDER = "retrofill_jobs_folder"
"""The DAG that shows what is wrong with the setting of the folder."""

_OURS = "retrofill_"
"""The start of the name of each job file, and of its DAG."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.\-]")
_TAKEN = {"retrofill_maintenance", "retrofill_forget", "retrofill_migrate", JOBS_FOLDER}
"""The ids of our other DAGs, without those of the kinds of sources."""

_NOT_YAML = (AttributeError, LookupError, OSError, RecursionError, ValueError, yaml.YAMLError)
"""Errors of YAML, and those of Python that PyYAML lets through: a value that is not what its tag
claims, deep nesting."""


class JobFile(NamedTuple):
    """The content of a job file."""

    name: str
    """The id of the DAG: the file's name without its suffix."""

    problems: tuple[str, ...] = ()
    """What is wrong with the file, with file and line."""

    fields: Fields | None = None
    """None: they cannot be read."""


def folder_of(setting: str | None) -> Path:
    """Return the folder of the job files.

    :param setting: the value of Airflow's setting ``[retrofill] jobs_folder``; empty: the default
    :raises ConfigError: it is not the absolute path of a folder
    """
    if not setting:
        return FOLDER
    folder = Path(setting).expanduser()
    if not (folder.is_absolute() and folder.is_dir()):
        raise ConfigError(
            f"Airflow's setting [retrofill] jobs_folder: {quoted(setting)} is not allowed; give the"
            " absolute path of a folder that exists on every machine that parses DAG files or runs"
            " tasks"
        )
    return folder


def load_jobs(folder: Path = FOLDER) -> list[JobFile]:
    """Read every job file of a folder; a faulty one does not hide the others."""
    return [load_job(path) for path in _yaml_files(folder) if path.name.startswith(_OURS)]


def load_job(path: Path) -> JobFile:
    """Read a job file; see ``problems`` for what is wrong with it."""
    # Even the DAG that only shows the problems needs a valid id.
    name = _NOT_IN_NAMES.sub("_", path.stem if path.suffix == ".yaml" else path.name)
    if name != path.stem:
        allowed = "give a name of letters, digits, _, - and ., followed by .yaml"
        return JobFile(name, (f"{path.name}: the file name is not allowed; {allowed}",))
    if name in _TAKEN | {f"{_OURS}{kind.name}" for kind in SOURCES.values() if kind.about}:
        taken = f"{path.name}: {name} is the name of another DAG; choose another name"
        return JobFile(f"{name}_job", (taken,))
    try:
        lines = Lines(path)
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path.name}:{mark.line + 1}" if mark else path.name
        said = getattr(error, "problem", None) or error
        return JobFile(name, (f"{at}: it is not YAML ({said})",))
    try:
        fields = Fields.model_validate(lines.value)
    except ValidationError as error:
        problems = [_sentence(details, lines) for details in error.errors(include_url=False)]
        params = lines.value.get("params")
        source = lines.value.get("source")
        if isinstance(params, dict) and isinstance(source, str) and source in SOURCES:
            problems += _problems_of(source, params, lines)
        return JobFile(name, tuple(problems))
    problems = [lines.say(what, field) for field, what in fields.contradictions()]
    problems += _problems_of(fields.source, fields.params, lines)
    if fields.assets and not problems:
        problems += _without_interval(fields, lines)
    return JobFile(name, tuple(problems), fields)


def others(folder: Path = FOLDER) -> list[str]:
    """Return the names of the YAML files in a folder that are not job files."""
    return [path.name for path in _yaml_files(folder) if not path.name.startswith(_OURS)]


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.y*ml"))


def _problems_of(source: str, params: dict[str, Any], lines: Lines) -> list[str]:
    given = {str(name): value for name, value in params.items()}
    problems = params_for(source).problems(given)
    return [lines.say(what, "params", name) for name, what in problems]


def _without_interval(fields: Fields, lines: Lines) -> Iterator[str]:
    """Yield the params that need an interval, which an asset does not provide."""
    try:
        params_for(fields.source).config(fields.params).source.window(Interval(None, None))
    except ConfigError as error:
        for problem in error.problems:
            name, _, what = problem.partition(": ")
            yield lines.say(what, "params", name)


def _sentence(details: ErrorDetails, lines: Lines) -> str:
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        allowed = ", ".join(Fields.model_fields)
        return lines.say(f"there is no such field; give one of {allowed}", name)
    if details["type"] == "missing":
        return lines.say("it is missing", name)
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return lines.say(f"{reprlib.repr(details['input'])} is not allowed; {message}", name)
