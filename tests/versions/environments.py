"""Environments of `make versions`: an Airflow with the packages of its day, and an interpreter.

What is installed is what a lock says. Those beside this file were compiled once: 3.2.1 and 3.3.1
under the constraints that Airflow has published for them and that Amazon MWAA installs by, 3.1.8
with what was there on the day of MOMENTS:

    uv pip compile pyproject.toml tests/versions/tests.in --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-annotate --constraint CONSTRAINTS
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".versions"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MOMENTS = {
    "3.1.8": ("2026-03-20", "Google, Astro, Helm chart 1.20"),
    "3.2.2": ("2026-06-13", "Google, Astro, Helm chart 1.22"),
    "3.3.0": ("2026-07-10", "Astro"),
    "3.3.1": ("2026-08-20", "Amazon MWAA, Astro"),
}
"""A day on which people installed an Airflow, and where it is what they have."""

_UV = str(Path(sys.executable).with_name("uv"))
_PINNED = re.compile(r"^apache-airflow==(\S+)", re.MULTILINE)


def locks() -> dict[str, Path]:
    """Return the lock of each Airflow, the oldest first; the last one is our own."""
    found = [*sorted((ROOT / "tests/versions").glob("*.lock")), ROOT / "requirements-dev.lock"]
    return {_PINNED.findall(path.read_text())[0]: path for path in found}


@cache
def interpreter(python: str) -> str | None:
    """Return the interpreter of a version that is on this machine; None: there is none."""
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
    """Return the interpreter of an environment, which is made if it is not what its lock says."""
    lock, made = locks()[airflow], FOLDER / f"{airflow}-{python}"
    kept = made / "installed.lock"
    if not kept.exists() or kept.read_bytes() != lock.read_bytes():
        _uv("venv", "--quiet", "--clear", "--python", str(interpreter(python)), str(made))
        at = ["--python", str(made / "bin/python")]
        _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", *at, str(lock))
        shutil.copy(lock, kept)
    return made / "bin/python"


def resolution_problem(airflow: str, day: str) -> str:
    """Return why the product and an Airflow could not be installed on a day; empty: they could."""
    command = [
        _UV, "pip", "compile", "--quiet", "--universal", "--python-version", PYTHONS[0],
        "--exclude-newer", day, "pyproject.toml", "-",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603  our own tool
        command,
        cwd=ROOT,
        input=f"apache-airflow=={airflow}\n",
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stderr.strip() if done.returncode else ""


def _uv(*arguments: str) -> None:
    subprocess.run([_UV, *arguments], cwd=ROOT, check=True)  # noqa: S603  our own tool
