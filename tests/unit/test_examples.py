"""The examples in docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
import retrofill

ROOT = Path(retrofill.__file__).parent
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_are_true(path: Path) -> None:
    result = doctest.testmod(import_module(".".join(path.with_suffix("").parts)))
    assert result.attempted
    assert result.failed == 0
