"""One module knows the versions of Airflow; locks meet the product's requirements."""

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import retrofill
from packaging.requirements import Requirement
from retrofill import compat

from tests.versions.environments import SETS, locks, package_set, pins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PRODUCT = [path for room in ("dags", "include", "plugins") for path in (ROOT / room).rglob("*.py")]
AIRFLOW = "apache-airflow"
ASKS = re.compile(
    r"\.__version__|airflow\S* import .*version|version_info|AIRFLOW_V_|packaging|\bSERIES\b"
    r"|metadata.*\bversion\b"
)


NOT_PUBLISHED = {"awscrt"}
"""What the product requires and Airflow's constraints leave open."""


OTHERS = {path: ast.parse(path.read_text()) for path in PRODUCT if path.name != "compat.py"}


def imported_from_airflow(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Return module and name of each import from Airflow; for a whole module, its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "airflow":
            yield from ((str(node.module), name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (
                (name.name, "") for name in node.names if name.name.partition(".")[0] == "airflow"
            )


def test_no_other_module_checks_the_airflow_version() -> None:
    assert [path for path in OTHERS if ASKS.search(path.read_text())] == []
    differing = {*compat.__all__, "airflow.sdk.exceptions"}
    assert [
        path
        for path, tree in OTHERS.items()
        for module, name in imported_from_airflow(tree)
        if {module, name} & differing
    ] == []


def test_no_other_module_probes_what_airflow_has() -> None:
    """No module tries an import or checks whether Airflow has something."""
    tried = [
        (path, node.lineno)
        for path, tree in OTHERS.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and list(imported_from_airflow(node))
    ]
    assert tried == []
    asks = {"hasattr": 2, "getattr": 3, "signature": 1, "import_module": 1, "find_spec": 1}
    asked = {
        (path.stem, called.removeprefix("inspect."))
        for path, tree in OTHERS.items()
        if list(imported_from_airflow(tree)) or "retrofill.compat" in path.read_text()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and len(node.args) >= asks.get((called := ast.unparse(node.func)).rpartition(".")[2], 9)
    }
    # The connection names a notifier; the DAG file and the plugin look for our own package.
    assert asked == {("targets", "import_module"), ("retrofill_dags", "find_spec")}


def test_every_module_can_be_imported_and_every_airflow_name_exists() -> None:
    for module in pkgutil.walk_packages(retrofill.__path__, "retrofill."):
        import_module(module.name)
    missing = []
    for path, tree in OTHERS.items():
        for module_name, name in imported_from_airflow(tree):
            if "openlineage" in module_name and find_spec("airflow.providers.openlineage") is None:
                continue
            found = import_module(module_name)
            if name and not hasattr(found, name):
                missing.append((path, module_name, name))
    assert missing == []


def test_an_old_airflow_is_refused_in_plain_words() -> None:
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


def test_what_an_airflow_lacks_is_shown_and_documented() -> None:
    assert compat.shortcomings((3, 3)) == []
    (newer,) = compat.shortcomings((3, 4))
    assert newer == "Retrofill is not tested with Airflow 3.4: the newest it is tested with is 3.3."
    assert len(compat.shortcomings((3, 1))) > len(compat.shortcomings((3, 2))) > 0
    page = (ROOT / "docs/versions.md").read_text()
    for series in ((3, 1), (3, 2)):
        for sentence in compat.shortcomings(series):
            lacks = sentence.removeprefix(f"Airflow 3.{series[1]} ")
            assert lacks[0].upper() + lacks[1:].removesuffix(".") in page


def test_a_dag_shows_what_its_airflow_lacks() -> None:
    from retrofill.workflow import retrofill_dag  # noqa: PLC0415  it takes a second

    dag = retrofill_dag("d", source="s3", schedule=None, doc_md="What it is for.")
    assert dag.doc_md == "\n\n".join(["What it is for.", *compat.shortcomings()])


def outside(pinned: dict[str, str]) -> list[str]:
    """Return the requirements of the product that a lock or a set does not meet."""
    return [
        f"{asked}: {pinned.get(asked.name)}"
        for asked in map(Requirement, PROJECT["dependencies"])
        if not asked.specifier.contains(pinned.get(asked.name, "0"))
    ]


@pytest.mark.parametrize("airflow", locks())
def test_a_lock_meets_the_products_requirements(airflow: str) -> None:
    """So it can be installed next to that Airflow without changing other packages."""
    lock = locks()[airflow]
    assert outside(pins(lock)) == []
    assert "https://" not in lock.read_text(), "a lock must not name package indexes"


@pytest.mark.parametrize("airflow", SETS)
def test_common_package_sets_meet_the_products_requirements(airflow: str) -> None:
    pinned = pins(package_set(airflow))
    assert pinned["apache-airflow"] == airflow
    # For a new dependency, look it up in Airflow's constraints.
    assert {one.partition(":")[0].partition(">")[0] for one in outside(pinned)} == NOT_PUBLISHED
    if airflow in locks():
        run_with = pins(locks()[airflow])
        assert pinned.items() - run_with.items() == set()


def test_every_airflow_version_in_range_has_a_lock() -> None:
    (asked,) = [
        one for one in map(Requirement, PROJECT["dependencies"]) if one.name[-7:] == "airflow"
    ]
    low, high = compat.OLDEST, compat.NEWEST
    assert str(asked.specifier) == f"<{high[0]}.{high[1] + 1},>={low[0]}.{low[1]}"
    series = {tuple(map(int, name.split(".")[:2])) for name in locks()}
    assert series == {(3, minor) for minor in range(low[1], high[1] + 1)}
