"""Processes to be killed, and the table of results of their runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pytest
from retrofill.faults import Point
from retrofill.state.migrate import migrate

from stack.endpoint import ScriptedEndpoint, scripted_endpoint
from stack.services import Postgres
from tests.kill_points.passage import Passage, line

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("kills", "items", "lost", "twice", "retries", "ours", "theirs", "bound")
table = pytest.StashKey[dict[Point, dict[str, int]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the table."""
    config.stash[table] = {}


def pytest_terminal_summary(terminalreporter: "TerminalReporter", config: pytest.Config) -> None:
    """Print one line for each fault point: the kill and its result."""
    rows = config.stash[table]
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("kill points", sep="-")
    write(
        "lost: items in no place · twice: items in two · retries, ours: repeated calls and items by"
    )
    write("our count · theirs: repeated work by the endpoint's count")
    write(f"{'point':18}" + "".join(f"{name:>9}" for name in COLUMNS))
    for point in (point for point in Point if point in rows):
        write(f"{point:18}" + "".join(f"{rows[point][name]:9,}" for name in COLUMNS))
    write(f"{'all':18}" + "".join(f"{sum(r[name] for r in rows.values()):9,}" for name in COLUMNS))


class Nursery:
    """Makes passages in forks of a process that has imported everything."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def make(self, passage: Passage) -> int:
        """Make a passage; return the exit code of its process, or minus the signal."""
        stdin, stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        stdin.write(line(passage))
        stdin.flush()
        return int(stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kill_points.passage"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Nursery(process)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:
    """A database for the jobs of all kill points."""
    postgres.ensure_database("kill_points")
    dsn = postgres.dsn("kill_points", role="kill_points")
    migrate(dsn)
    return dsn
