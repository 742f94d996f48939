"""The ways to install Retrofill, each as a new Airflow home."""

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.versions.environments import FOLDER, ROOT, environment, interpreter, locks

AIRFLOW, PYTHON = "3.3.1", "3.12"
"""The Airflow of Amazon MWAA and Astro; its lock was compiled under Airflow's own constraints."""

JOB = "retrofill_photos"
_JOB_FILE = """
source: s3
schedule: none
params: {job: photos, bucket: photos, prefix: data/, function: photos, event: s3}
"""
_UV = str(Path(sys.executable).with_name("uv"))


@dataclass(frozen=True)
class Form:
    """A home of Airflow with Retrofill in it."""

    name: str
    home: Path
    python: Path
    """The interpreter of Airflow's environment."""

    package_in: Path
    """The folder in which `python -m retrofill` runs; any folder for an installed package."""

    variables: dict[str, str] = field(default_factory=dict)
    """Variables to set in addition to connections."""


def wheel() -> Path:
    """Return the wheel that `make package` has built."""
    (found,) = (ROOT / "dist").glob("retrofill-*.whl")
    return found


def documented_dag_file() -> str:
    """Return the DAG file that the docs show."""
    page = (ROOT / "docs/packages.md").read_text()
    (shown,) = re.findall(r"```python\n# dags/retrofill\.py\n(.*?)```", page, re.DOTALL)
    return str(shown)


def installed(home: Path) -> Form:
    """The wheel, installed under Airflow's constraints in an otherwise empty environment."""
    made = FOLDER / "wheel"
    _uv("venv", "--quiet", "--clear", "--python", str(interpreter(PYTHON)), str(made))
    python = made / "bin/python"
    constraints = ["--constraint", str(locks()[AIRFLOW])]
    _uv("pip", "install", "--quiet", "--python", str(python), *constraints, str(wheel()))
    _write(home / "dags/retrofill.py", documented_dag_file())
    _write(home / "backfills" / f"{JOB}.yaml", _JOB_FILE)
    folder = {"AIRFLOW__RETROFILL__JOBS_FOLDER": str(home / "backfills")}
    return Form("wheel, installed", home, python, home, folder)


def among_plugins(home: Path) -> Form:
    """Like Amazon MWAA, which unpacks plugins.zip into the plugins folder."""
    zipfile.ZipFile(ROOT / "dist/plugins.zip").extractall(home / "plugins")
    _write(home / "dags/retrofill.py", documented_dag_file())
    _write(home / "dags/jobs" / f"{JOB}.yaml", _JOB_FILE)
    folder = {"AIRFLOW__RETROFILL__JOBS_FOLDER": str(home / "dags/jobs")}
    return Form("MWAA, in plugins/", home, _airflow(), home / "plugins", folder)


def copied(home: Path) -> Form:
    """Like an Astro project: the three folders, without variables."""
    for name in ("dags", "plugins", "include"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, home / name, ignore=ignored)
    _write(home / "include/jobs" / f"{JOB}.yaml", _JOB_FILE)
    return Form("Astro, in include/", home, _airflow(), home / "include")


FORMS = {"wheel": installed, "mwaa": among_plugins, "astro": copied}


def _airflow() -> Path:
    """Return the interpreter of an environment with everything needed except Retrofill."""
    return environment(AIRFLOW, PYTHON)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _uv(*arguments: str) -> None:
    subprocess.run([_UV, *arguments], cwd=ROOT, check=True)  # noqa: S603  our own tool
