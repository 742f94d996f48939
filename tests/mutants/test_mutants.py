"""Each mutant is killed by the test that it names, in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from stack.services import Postgres
from tests.conftest import told_of
from tests.mutants.mutants import MUTANTS, Mutant

_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("include", "stack", "tests")
_AT_ONCE = 2
_FAILED = 1

Outcome = tuple[int, str]


def mutate(text: str, mutant: Mutant) -> str:
    """Return a file's text with the change in it.

    :raises ValueError: what the mutant changes is not there, or more than once
    """
    times = text.count(mutant.old)
    if times != 1:
        raise ValueError(
            f"mutant {mutant.name!r}: {mutant.file} has its old text {times} times, not once:"
            f" mend the mutant\n{mutant.old}"
        )
    return text.replace(mutant.old, mutant.new)


def outcome(
    directory: Path, server: Postgres, tests: list[str], mutant: Mutant | None = None
) -> Outcome:
    """Run tests in a copy of the tree; return pytest's exit code and what it said."""
    # With the byte code: what changes is compiled anew, for its time is another.
    for name in _COPIED:
        shutil.copytree(_ROOT / name, directory / name)
    shutil.copy(_ROOT / "pyproject.toml", directory)
    if mutant is not None:
        file = directory / "include" / "retrofill" / mutant.file
        file.write_text(mutate(file.read_text(), mutant))
    done = subprocess.run(  # noqa: S603  our own tests
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *tests],
        cwd=directory,
        env=os.environ | told_of(server),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[dict[str, Future[Outcome]]]:
    """The outcomes of the mutants that were asked for, some at once."""
    asked = {
        item.callspec.params["mutant"].name
        for item in request.session.items
        if hasattr(item, "callspec") and "mutant" in item.callspec.params
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            mutant.name: pool.submit(
                outcome, tmp_path_factory.mktemp("mutant"), postgres, [mutant.test], mutant
            )
            for mutant in MUTANTS
            if mutant.name in asked
        }


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_killed(mutant: Mutant, outcomes: dict[str, Future[Outcome]]) -> None:
    code, said = outcomes[mutant.name].result()
    assert code == _FAILED, f"{mutant.test} does not notice\n{said}"
    summary = said.strip().splitlines()[-1]
    assert " failed" in summary, said
    assert "error" not in summary, said


def test_the_tests_pass_in_a_copy_without_a_mutant(tmp_path: Path, postgres: Postgres) -> None:
    """Otherwise a copy that does not work would kill every mutant."""
    code, said = outcome(tmp_path, postgres, sorted({mutant.test for mutant in MUTANTS}))
    assert code == 0, said


def test_a_mutant_whose_text_is_gone_is_told() -> None:
    gone = Mutant(name="x", file="f.py", old="b", new="c", test="t")
    for text in ("a", "bb"):
        with pytest.raises(ValueError, match="mend the mutant"):
            mutate(text, gone)
    assert mutate("abc", gone) == "acc"
