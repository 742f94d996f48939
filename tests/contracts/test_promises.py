"""Every promise has tests that exist, and quotations in the docs match the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from retrofill.jobs import load_job
from retrofill.model.errors import ConfigError
from retrofill.workflow import job_dag, retrofill_dag

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/promises.md"
INVARIANTS = [f"I{number}" for number in range(1, 13)]
SHORTEST = 8
"""Characters that a part of a message needs to be distinct from other texts."""

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, list[tuple[str, str]], set[str]]]:
    """Return the promise of each row, its tests as (path, name), and what runs them."""
    found = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| promise |", "| --- |")):
            promise, tests, targets = [cell.strip() for cell in line.split("|")[1:-1]]
            found.append((promise, _TEST.findall(tests), set(re.findall(r"`(.*?)`", targets))))
    return found


@cache
def needing_faults(path: str) -> dict[str, bool]:
    """Return whether each test of a file needs ``make faults``."""
    # tests/faults/conftest.py marks all tests in its folder.
    in_faults = path.startswith("tests/faults/")
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.is_file() else ast.Module([], [])
    return {
        node.name: in_faults
        or any(ast.unparse(mark) == "pytest.mark.faults" for mark in node.decorator_list)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize(
    ("tests", "targets"), [row[1:] for row in rows()], ids=[row[0] for row in rows()]
)
def test_a_promise_has_tests_that_exist_and_run_as_listed(
    tests: list[tuple[str, str]], targets: set[str]
) -> None:
    assert tests
    assert [f"{path}::{name}" for path, name in tests if name not in needing_faults(path)] == []
    in_celery = {path.startswith("tests/celery/") for path, _ in tests}
    needs_faults = {
        needing_faults(path)[name] for path, name in tests if not path.startswith("tests/celery/")
    }
    expected = {"make faults" if needed else "make test" for needed in needs_faults}
    expected |= {"make celery"} if True in in_celery else set()
    if any(path.startswith("tests/simulation/") for path, _ in tests):
        expected.add("make simulate")
    assert targets == expected


def test_every_promise_of_the_readme_and_every_invariant_is_on_the_page() -> None:
    _, _, behind = (ROOT / "README.md").read_text().partition("\n## Promises\n")
    promised = re.findall(r"^- \*\*(.*?)\.?\*\*", behind.partition("\n## ")[0], re.MULTILINE)
    assert promised, "the README has no list of promises"
    promises = [promise for promise, _, _ in rows()]
    assert [promise.strip("*") for promise in promises if promise.startswith("**")] == promised
    assert [found[1] for text in promises if (found := re.match(r"(I\d+): ", text))] == INVARIANTS


def messages() -> list[str]:
    """Return each message in docs/reference/errors.md, with … for its values."""
    text = (ROOT / "docs/reference/errors.md").read_text()
    said = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [message for cell in said for message in re.findall(r"`([^`]+)`", cell)]


@cache
def texts() -> str:
    """Return all strings in the code, one per line, with … for the values in them."""
    found = []
    for path in (ROOT / "include/retrofill").rglob("*.py"):
        tree = ast.parse(path.read_text())
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in alone:
                continue  # a docstring
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                ]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


@pytest.mark.parametrize("message", messages())
def test_each_error_in_the_docs_is_in_the_code(message: str) -> None:
    parts = [part.strip(" :;,'") for part in message.split("…")]
    long = [part for part in parts if len(part) >= SHORTEST] or [max(parts, key=len)]
    assert [part for part in long if part not in texts()] == []


def test_a_bad_job_file_is_a_dag_that_fails_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "retrofill_photos.yaml"
    path.write_text(
        'source: s3\nschedule: "@daily"\nstart_date: 2026-01-01\nparams:\n  bukket: my-photos\n'
    )
    dag = job_dag(load_job(path))
    assert dag.dag_id == "retrofill_photos"
    assert set(dag.task_ids) == set(retrofill_dag("any", source="s3", schedule=None).task_ids)
    assert dag.params.validate() is not None, "Airflow would run none of its tasks"
    with pytest.raises(ConfigError, match=r"retrofill_photos\.yaml.*bukket"):
        raise ConfigError(*dag.get_task("open_run").problems)
