"""Event shapes stay in `events`: no other module names one."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from retrofill.events import SHAPES

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "include/retrofill/events"
DEPLOYED = [ROOT / name for name in ("include/retrofill", "dags", "plugins")]
IN_A_TEXT = re.compile(
    rf"(?<![\w-])({'|'.join(re.escape(n) for n in SHAPES if '-' in n)})(?![\w-])"
)

ALLOWED = {
    ("include/retrofill/aws/arn.py", "s3"): "a service in an ARN",
    ("include/retrofill/aws/store.py", "s3"): "the service, and the scheme of its addresses",
    ("include/retrofill/triggers/find.py", "s3"): "the service to call, by its name in boto3",
    ("include/retrofill/triggers/follow.py", "sqs"): "a service in an ARN, a protocol of SNS",
    ("include/retrofill/sources/", "s3"): "the kind of source, and the service",
    ("include/retrofill/targets.py", "sqs"): "a protocol of SNS",
    ("include/retrofill/model/delivery.py", "s3-batch"): "an answer contract",
    ("include/retrofill/cli/triaging.py", "items"): "a title of the command line",
    ("include/retrofill/jobs/fields.py", "items"): "a word of JSON Schema",
    ("include/retrofill/web/charts.py", "items"): "what a chart shows",
    ("include/retrofill/web/job.py", "items"): "a word on the page",
    ("include/retrofill/pipeline/plan.py", "items"): "a word in the plan",
    ("include/retrofill/model/report.py", "items"): "a field of the state's JSON",
    ("include/retrofill/model/canary.py", "items"): "a word in the canary's results",
    ("include/retrofill/engine/forecast.py", "items"): "a term of the cost",
    ("include/retrofill/state/", "items"): "a column, a param of statements, a field of JSON",
}
"""Exceptions: the name of a shape or its beginning, and why it is allowed, by module or folder."""


def texts_in(path: Path) -> Iterator[str]:
    """Return the strings in a module's code or SQL, without docstrings and comments."""
    if path.suffix == ".sql":
        code = re.sub(r"--.*", "", path.read_text())
        yield from re.findall(r"'((?:[^']|'')*)'", code)
        return
    tree = ast.parse(path.read_text())
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documented
        ):
            yield node.value


def named_in(text: str) -> set[str]:
    """Return the shapes that a text names, and the text itself if shape names begin with it."""
    begins = "-" in text and any(name.startswith(text) for name in SHAPES)
    return {text} if begins or text in SHAPES else set(IN_A_TEXT.findall(text))


@cache
def found() -> set[tuple[str, str]]:
    return {
        (str(path.relative_to(ROOT)), name)
        for folder in DEPLOYED
        for path in folder.rglob("*.*")
        if path.suffix in {".py", ".sql"} and EVENTS not in path.parents
        for text in texts_in(path)
        for name in named_in(text)
    }


def test_no_other_module_names_a_shape() -> None:
    assert [
        one
        for one in sorted(found())
        if not any(one[0].startswith(place) and one[1] == name for place, name in ALLOWED)
    ] == []


def test_allowed_exceptions_exist() -> None:
    assert [
        (place, name)
        for place, name in ALLOWED
        if not any(path.startswith(place) and named == name for path, named in found())
    ] == []


@pytest.mark.parametrize(
    "line",
    [
        'shape = "s3-sns"',
        'if event.startswith("s3-batch-"): pass',
        'raise Error("give s3, eventbridge, s3-batch-1.0 or items")',
        'raise Error(f"{event}: give s3-batch-2.0")',
        'event in {"kinesis"}',
    ],
)
def test_a_shape_name_is_found(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f'"""Of s3-sqs."""\n{line}\n')
    named = [name for text in texts_in(module) for name in named_in(text)]
    assert named
    assert "s3-sqs" not in named
