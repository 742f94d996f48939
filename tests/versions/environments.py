"""Environments of `make versions`: an Airflow with the packages of its day, and an interpreter.

Each environment is installed from a lock. The locks in this folder were compiled once: 3.2.1 and
3.3.1 under the constraints that Airflow publishes for them and Amazon MWAA uses, 3.1.8 with the
packages of its day in MOMENTS, except test tools:

    uv pip compile pyproject.toml tests/versions/tests.in --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-annotate --no-header --constraint CONSTRAINTS

A file in sets/ has the lines of these constraints, for Python 3.12, that Retrofill needs. They
agree with Amazon's lists of its images.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".versions"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SETS = {
    "3.2.1": "Amazon MWAA",
    "3.3.0": "Astro",
    "3.3.1": "Amazon MWAA, Astro",
}
"""Services that run an Airflow with the packages in Airflow's own constraints for it."""

MOMENTS = {
    "3.1.8": ("2026-03-20", "Google, Astro, Helm chart 1.20"),
    "3.2.2": ("2026-06-13", "Google, Astro, Helm chart 1.22"),
}
"""A day on which an Airflow was installed, and the services that run that set of packages."""

_UV = str(Path(sys.executable).with_name("uv"))
_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def locks() -> dict[str, Path]:
    """Return the lock of each Airflow, oldest first; the last one is our own."""
    found = [*sorted((ROOT / "tests/versions").glob("*.lock")), ROOT / "requirements-dev.lock"]
    return {pins(path)["apache-airflow"]: path for path in found}


@cache
def interpreter(python: str) -> str | None:
    """Return this machine's interpreter of a version; None if it is missing."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [f"python{python}", *map(str, kept.glob(f"{python}.*/bin/python"))]
    ask = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for name in filter(None, map(shutil.which, named)):
        asked = subprocess.run([name, "-c", ask], check=False, capture_output=True, text=True)  # noqa: S603
        version, _, path = asked.stdout.strip().partition(" ")
        if version == python:
            return path
    return None


def environment(airflow: str, python: str) -> Path:
    """Return the interpreter of an environment, which is rebuilt if it differs from its lock."""
    lock, made = locks()[airflow], FOLDER / f"{airflow}-{python}"
    kept = made / "installed.lock"
    if not kept.exists() or kept.read_bytes() != lock.read_bytes():
        _uv("venv", "--quiet", "--clear", "--python", str(interpreter(python)), str(made))
        at = ["--python", str(made / "bin/python")]
        _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", *at, str(lock))
        shutil.copy(lock, kept)
    return made / "bin/python"


def package_set(airflow: str) -> Path:
    """Return the published pins of one of SETS, for the packages that Retrofill needs."""
    return ROOT / f"tests/versions/sets/{airflow}.txt"


def pins(path: Path) -> dict[str, str]:
    """Return the version of each package that a lock or a set pins."""
    return dict(_PIN.findall(path.read_text()))


def resolutions() -> Iterator[tuple[str, str]]:
    """Resolve the requirements next to common package sets; yield each set and its problem.

    The problem is empty if the set resolves.
    """
    for airflow, where in SETS.items():
        under = ["--constraint", str(package_set(airflow))]
        for python in ("3.12", "3.13"):
            described = f"Airflow {airflow} on Python {python} with its constraints ({where})"
            # An existing Airflow has no compiler.
            wheels = ["--python-version", python, "--only-binary", ":all:"]
            yield described, _problem(airflow, *under, *wheels)
    for airflow, (day, where) in MOMENTS.items():
        described = f"Airflow {airflow} with the packages of {day} ({where})"
        on_all = ["--universal", "--python-version", PYTHONS[0]]
        yield described, _problem(airflow, *on_all, "--exclude-newer", day)


def _problem(airflow: str, *options: str) -> str:
    done = subprocess.run(  # noqa: S603  our own tool
        [_UV, "pip", "compile", "--quiet", *options, "pyproject.toml", "-"],
        cwd=ROOT,
        input=f"apache-airflow=={airflow}\n",
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stderr.strip() if done.returncode else ""


def _uv(*arguments: str) -> None:
    subprocess.run([_UV, *arguments], cwd=ROOT, check=True)  # noqa: S603  our own tool
