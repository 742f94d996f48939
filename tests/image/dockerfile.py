"""The Dockerfile: its base, its steps, and the files that the build may copy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
_TAG = re.compile(r"apache/airflow:slim-([0-9.]+)-python(3\.\d+)")


class Base(NamedTuple):
    """The base image, as described by its tag."""

    airflow: str
    python: str


def _parsed() -> DockerfileParser:
    return DockerfileParser(path=str(ROOT / "Dockerfile"), cache_content=True)


def base() -> Base:
    """Return the base of the image."""
    tag = _TAG.fullmatch(_parsed().baseimage)
    assert tag is not None, "the base is not a slim image of Airflow with its Python in the tag"
    return Base(*tag.groups())


def steps() -> Iterator[tuple[str, str]]:
    """Return instructions and their values, those after FROM."""
    for step in _parsed().structure:
        if step["instruction"] not in {"COMMENT", "FROM"}:
            yield step["instruction"], step["value"]


def context() -> set[str]:
    """Return the names in this folder that .dockerignore lets the build copy."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in lines if line.startswith("!")}
