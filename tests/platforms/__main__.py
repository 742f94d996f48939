"""Check that our locks have the hash of a wheel of each package: ``make platforms``."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from tests.versions.environments import PYTHONS, ROOT

_UV = str(Path(sys.executable).with_name("uv"))
_PINNED = re.compile(r"^([a-z0-9._-]+)==.*((?:\n    --hash=\S+(?: \\)?)+)", re.MULTILINE)
LOCKS = ("requirements.lock", "requirements-dev.lock")
GLIBC = 28
"""Airflow's images and every distribution since 2019 have a newer one."""
PLATFORMS = {
    "Linux, x86-64": ("linux", "x86_64"),
    "Linux, aarch64": ("linux", "aarch64"),
    "macOS 14, Apple silicon": ("darwin", "arm64"),
    "macOS 14, Intel": ("darwin", "x86_64"),
}
UNSUPPORTED = {"macOS 14, Intel"}


def main() -> int:
    """Print a table; fail if a wheel is missing on a platform that must have all."""
    packages = [one for lock in LOCKS for one in _packages(lock)]
    print(f"| | {' | '.join(PYTHONS)} |\n| --- |{' --- |' * len(PYTHONS)}")
    lacking: dict[str, set[str]] = {}
    for name, (system, machine) in PLATFORMS.items():
        cells = []
        for python in PYTHONS:
            missing = set(_without_wheel(packages, system, machine, python))
            lacking.setdefault(name, set()).update(missing)
            cells.append("all" if not missing else "all but " + ", ".join(sorted(missing)))
        print(f"| {name} | {' | '.join(cells)} |")
    return int(any(lacking[name] for name in PLATFORMS.keys() - UNSUPPORTED))


def _packages(lock: str) -> Iterator[dict[str, Any]]:
    """Return the packages of a lock with the wheels whose hashes it has."""
    command = [_UV, "pip", "compile", lock, "--quiet", "--universal", "--format", "pylock.toml"]
    command += ["--python-version", PYTHONS[0]]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    hashes = dict(_PINNED.findall((ROOT / lock).read_text()))
    for package in tomllib.loads(done.stdout)["packages"]:
        known = [
            wheel
            for wheel in package.get("wheels", [])
            if wheel["hashes"]["sha256"] in hashes[package["name"]]
        ]
        yield {**package, "wheels": known}


def _without_wheel(
    packages: list[dict[str, Any]], system: str, machine: str, python: str
) -> Iterator[str]:
    marked = {
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    fitting = _tags(system, machine, python)
    for package in packages:
        if "marker" in package and not Marker(package["marker"]).evaluate(marked):
            continue
        files = (wheel["url"].rpartition("/")[2] for wheel in package["wheels"])
        if not any(fitting & parse_wheel_filename(file)[3] for file in files):
            yield package["name"]


def _tags(system: str, machine: str, python: str) -> set[Tag]:
    version = tuple(map(int, python.split(".")))
    if system == "linux":
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)]
        platforms += [f"manylinux{year}_{machine}" for year in (1, 2010, 2014)]
    else:
        platforms = list(mac_platforms((14, 0), machine))
    interpreter = f"cp{python.replace('.', '')}"
    return {
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    }


if __name__ == "__main__":
    sys.exit(main())
