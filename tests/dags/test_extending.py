"""The code of docs/extend, installed as a package and run in a DAG."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/extend").glob("*.md"))
MOST_LINES = 60
"""The maximum length of one kind's code."""

_BLOCK = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)```", re.DOTALL)
FUNCTION = """
import json
from pathlib import Path

def handle(event):
    (Path(__file__).parent / "called").open("a").write(json.dumps(event) + "\\n")
"""
RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
from retrofill.dags import retrofill_dags
run = retrofill_dags()["retrofill_numbers"].test(run_conf=json.loads(sys.argv[1]))
print(run.state)
"""


def blocks() -> dict[str, str]:
    """Return the code of all pages by the file names in it."""
    return {name: text for page in PAGES for name, text in _BLOCK.findall(page.read_text())}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with the pages' own, and a function to call."""
    code = blocks()
    project = tomllib.loads(code.pop("pyproject.toml"))["project"]
    for name, text in code.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "their_function.py").write_text(FUNCTION)
    return tmp_path


def run(site: Path, environment: dict[str, str], dsn: str, **conf: Any) -> str:
    environment = {
        **environment,
        "PYTHONPATH": f"{site}:{ROOT / 'include'}",
        "AIRFLOW_CONN_RETROFILL_STATE": dsn,
    }
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", RUN, json.dumps(conf)],
        env=environment,
        cwd=site,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.faults  # two runs of each package
def test_the_code_of_the_pages_is_installed_and_runs(
    site: Path, airflow_environment: dict[str, str], state_dsn: str
) -> None:
    asked = {
        "first": 1,
        "last": 2_500,
        "function_kind": "python",
        "callable": "their_function:handle",
        "event": "keys",
        "items_per_call": 100,
    }
    assert run(site, airflow_environment, state_dsn, **asked) == "success"
    called = [json.loads(line) for line in (site / "called").read_text().splitlines()]
    keys = [key for event in called for key in event["keys"]]
    assert sorted(keys) == [f"{number:010}" for number in range(1, 2_501)]
    assert max(len(event["keys"]) for event in called) == 100

    assert run(site, airflow_environment, state_dsn, **asked) == "success"
    assert len((site / "called").read_text().splitlines()) == len(called), "all items were known"


@pytest.mark.parametrize("name", ["numbers", "python", "keys"])
def test_the_code_of_a_kind_is_short(name: str) -> None:
    lines = blocks()[f"my_backfills/{name}.py"].splitlines()
    assert len([line for line in lines if line.strip()]) <= MOST_LINES
