"""Each mutant is killed by its test, in a copy of the tree."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pytest

from stack.services import Postgres
from tests.conftest import environment_of
from tests.mutants.mutants import MUTANTS, Mutant

_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("include", "stack", "tests")
_PLUGINS = ("pytest_timeout", "_hypothesis_pytestplugin")
_OPTIONS = ["-q", "-p", "no:cacheprovider", "--tb=line", *(f"-p{name}" for name in _PLUGINS)]
_FAILED = 1

Outcome = tuple[int, str]


def mutate(text: str, mutant: Mutant) -> str:
    """Return a file's text with the change applied.

    :raises ValueError: the mutant's text is missing or occurs more than once
    """
    times = text.count(mutant.old)
    if times != 1:
        raise ValueError(
            f"mutant {mutant.name!r}: {mutant.file} has its old text {times} times, not once:"
            f" fix the mutant\n{mutant.old}"
        )
    return text.replace(mutant.old, mutant.new)


class Nursery:
    """Runs tests in a copy of the tree, in forks of a process that has imported their libraries."""

    def __init__(self, process: "subprocess.Popen[str]", directory: Path) -> None:
        self._process = process
        self._tree = directory / "tree"
        self._output = directory / "output"
        # With the byte code: a mutated file is compiled again, because its time differs.
        for name in _COPIED:
            shutil.copytree(_ROOT / name, self._tree / name)
        shutil.copy(_ROOT / "pyproject.toml", self._tree)

    def outcome(self, *tests: str) -> Outcome:
        """Run tests; return pytest's exit code and output."""
        asked = {
            "directory": str(self._tree),
            "output": str(self._output),
            "arguments": [*_OPTIONS, *tests],
        }
        stdin, stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        return int(stdout.readline()), self._output.read_text()

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Make the copy the mutant within the block."""
        file = Path("include/retrofill", mutant.file)
        (self._tree / file).write_text(mutate((_ROOT / file).read_text(), mutant))
        try:
            yield
        finally:
            shutil.copy2(_ROOT / file, self._tree / file)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Nursery]:
    with subprocess.Popen(  # noqa: S603  our own script
        # -P: it must not import from its folder.
        [sys.executable, "-P", Path(__file__).with_name("nursery.py")],
        env=os.environ | environment_of(postgres) | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Nursery(process, tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_killed(mutant: Mutant, nursery: Nursery) -> None:
    with nursery.mutated(mutant):
        code, said = nursery.outcome(mutant.test)
    assert code == _FAILED, f"{mutant.test} does not notice\n{said}"
    summary = said.strip().splitlines()[-1]
    assert " failed" in summary, said
    assert "error" not in summary, said


def test_the_tests_pass_in_a_copy_without_a_mutant(nursery: Nursery) -> None:
    """Otherwise a copy that does not work would kill every mutant."""
    code, said = nursery.outcome(*sorted({mutant.test for mutant in MUTANTS}))
    assert code == 0, said


def test_a_mutant_without_its_text_is_reported() -> None:
    gone = Mutant(name="x", file="f.py", old="b", new="c", test="t")
    for text in ("a", "bb"):
        with pytest.raises(ValueError, match="fix the mutant"):
            mutate(text, gone)
    assert mutate("abc", gone) == "acc"
