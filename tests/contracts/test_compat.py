"""One module knows that there are several Airflows; locks have what the product asks for."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from retrofill import compat

from tests.versions.environments import locks

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PRODUCT = [path for room in ("dags", "include", "plugins") for path in (ROOT / room).rglob("*.py")]
AIRFLOW = "apache-airflow"
ASKS = re.compile(r"__version__|version_info|AIRFLOW_V_|metadata.*\bversion\b|packaging|\bSERIES\b")


def imported_from_airflow(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "airflow":
            yield str(node.module)
            yield from (name.name for name in node.names)


def test_no_other_module_asks_which_airflow_it_runs_on() -> None:
    others = [path for path in PRODUCT if path.name != "compat.py"]
    assert [path for path in others if ASKS.search(path.read_text())] == []
    differing = {*compat.__all__, "airflow.sdk.exceptions"}
    assert [path for path in others if differing & set(imported_from_airflow(path))] == []


def test_an_airflow_that_is_too_old_is_refused_in_plain_words() -> None:
    code = """
import sys, types
old = sys.modules["airflow"] = types.ModuleType("airflow")
old.__version__ = "3.0.6"
import retrofill.compat
"""
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: Retrofill runs on Airflow 3.1 to 3.3, and this is Airflow 3.0.6"


def test_what_an_airflow_cannot_do_is_said_and_documented() -> None:
    assert compat.shortcomings((3, 3)) == []
    (newer,) = compat.shortcomings((3, 4))
    assert newer == "Retrofill is not tested with Airflow 3.4: the newest it is tested with is 3.3."
    assert len(compat.shortcomings((3, 1))) > len(compat.shortcomings((3, 2))) > 0
    page = (ROOT / "docs/versions.md").read_text()
    for series in ((3, 1), (3, 2)):
        for sentence in compat.shortcomings(series):
            lacks = sentence.removeprefix(f"Airflow 3.{series[1]} ")
            assert lacks[0].upper() + lacks[1:].removesuffix(".") in page


def test_a_dag_says_what_its_airflow_cannot_do() -> None:
    from retrofill.workflow import retrofill_dag  # noqa: PLC0415  it takes a second

    dag = retrofill_dag("d", source="s3", schedule=None, doc_md="What it is for.")
    assert dag.doc_md == "\n\n".join(["What it is for.", *compat.shortcomings()])


@pytest.mark.parametrize("airflow", locks())
def test_a_lock_has_what_the_product_asks_for(airflow: str) -> None:
    """So it can be installed beside that Airflow, with all else as it is there."""
    text = locks()[airflow].read_text()
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))
    for asked in map(Requirement, PROJECT["dependencies"]):
        assert asked.specifier.contains(pinned[asked.name]), f"{asked}: {pinned[asked.name]}"
    assert "https://" not in text, "where a package is downloaded from is not the lock's to say"


def test_every_airflow_of_the_range_has_a_lock() -> None:
    (asked,) = [
        one for one in map(Requirement, PROJECT["dependencies"]) if one.name[-7:] == "airflow"
    ]
    low, high = compat.OLDEST, compat.NEWEST
    assert str(asked.specifier) == f"<{high[0]}.{high[1] + 1},>={low[0]}.{low[1]}"
    series = {tuple(map(int, name.split(".")[:2])) for name in locks()}
    assert series == {(3, minor) for minor in range(low[1], high[1] + 1)}
